"""DICOM files of every kind: what is read is right, what cannot be read is said with path and tag."""

import json
import pickle
import resource
import shutil
import sys
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    generate_uid,
)

from datamodules import DicomDataModule
from datamodules.dicom import neighbour_slices
from datamodules.readers import DicomReader, DicomReadError, ImageReadError
from datamodules.readers.dicom import codestream_size, read_series, stored_values
from datamodules.table import rows_of
from evaluation.folds import CrossValidation, make_folds
from preprocessing.hounsfield import window

AXIAL = [1, 0, 0, 0, 1, 0]


def dataset(pixels: np.ndarray | None, **elements) -> Dataset:
    """A CT slice with these stored pixels; an element that is None is left out."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    facts = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "PhotometricInterpretation": "MONOCHROME2"}
    if pixels is not None:
        bits = pixels.dtype.itemsize * 8
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3
        rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
        facts |= {"Rows": rows, "Columns": columns, "SamplesPerPixel": 3 if colour else 1, "BitsAllocated": bits}
        facts |= {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(pixels.dtype.kind == "i")}
        if colour:
            facts |= {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
        elif pixels.ndim == 3:
            facts["NumberOfFrames"] = len(pixels)
        facts["PixelData"] = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for keyword, value in (facts | elements).items():
        if value is not None:
            setattr(made, keyword, None if value == "empty" else value)
    return made


def save(path: Path, pixels: np.ndarray | None = None, **elements) -> Path:
    made = dataset(pixels, **elements)
    if made.file_meta.TransferSyntaxUID.is_encapsulated:
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
    elif "PixelData" in made:
        made["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def read(path, frame=None, slices=None, **arguments) -> np.ndarray:
    return DicomReader(**arguments).read(SimpleNamespace(image_id="a", path=path, frame=frame, slices=slices))


@pytest.fixture
def ramp() -> np.ndarray:
    return np.linspace(0, 4095, 16 * 24).astype(np.uint16).reshape(16, 24)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_hounsfield_units_are_exact(tmp_path, ramp):
    found = read(save(tmp_path / "a.dcm", ramp, RescaleSlope=2), output="hu", channels="gray")
    assert found.dtype == np.int16
    assert (found[..., 0] == ramp.astype(int) * 2 - 1024).all()
    signed = (ramp.astype(np.int16) - 2048).astype(np.int16)
    found = read(save(tmp_path / "b.dcm", signed, RescaleIntercept=0), output="hu", channels="gray")
    assert (found[..., 0] == signed).all()
    found = read(save(tmp_path / "c.dcm", ramp, Modality="PT", RescaleSlope=0.25), output="hu", channels="gray")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], ramp * 0.25 - 1024)


def test_padding_is_air_in_units_and_black_in_pictures(tmp_path, ramp):
    stored = ramp.astype(np.int16)
    stored[:4] = -2000
    for facts in ({"PixelPaddingValue": -2000}, {}):  # said, and unsaid as in many CTs
        path = save(tmp_path / "a.dcm", stored, **facts)
        assert (read(path, output="hu")[:4] == -1000).all()
        picture = read(path)
        assert (picture[:4] == 0).all()
        assert picture[-1, -1, 0] == 255
        inverted = read(save(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1", **facts))
        assert (inverted[:4] == 0).all()
        assert inverted[-1, -1, 0] == 0
        assert inverted[4, 0, 0] == 255
        assert (read(path, output="raw")[:4] == -2000).all()
    assert (read(save(tmp_path / "c.dcm", stored, Modality="MR"), output="hu")[:4] == -3024).all()


def test_monochrome1_is_inverted_after_the_window(tmp_path, ramp):
    facts = {"WindowCenter": 300, "WindowWidth": 800}
    plain = read(save(tmp_path / "a.dcm", ramp, **facts))
    inverted = read(save(tmp_path / "b.dcm", ramp, PhotometricInterpretation="MONOCHROME1", **facts))
    assert (inverted == 255 - plain).all()
    assert plain[0, 0, 0] == 0
    assert plain[-1, -1, 0] == 255


def test_the_first_of_several_windows_is_taken(tmp_path, ramp):
    path = save(tmp_path / "a.dcm", ramp, WindowCenter=[40, 300], WindowWidth=[400, 1500])
    hu = ramp.astype(np.float32) - 1024
    assert (read(path)[..., 0] == window(hu, 40, 400, 8, "LINEAR")).all()
    exact = save(tmp_path / "b.dcm", ramp, WindowCenter=40, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    assert (read(exact, bits=16)[..., 0] == window(hu, 40, 400, 16)).all()


def test_several_windows_are_channels(tmp_path, ramp):
    path = save(tmp_path / "a.dcm", ramp, WindowCenter=1, WindowWidth=2)
    found = read(path, windows=["lung", "bone", [40, 80]])
    hu = ramp.astype(np.float32) - 1024
    for channel, (centre, width) in enumerate([(-600, 1500), (400, 1800), (40, 80)]):
        assert (found[..., channel] == window(hu, centre, width, 8)).all()


def test_without_a_window_deep_files_are_spread_and_8_bit_files_are_left(tmp_path, ramp):
    found = read(save(tmp_path / "a.dcm", ramp), channels="gray")
    assert (found.min(), found.max()) == (0, 255)
    eight = (ramp >> 5).astype(np.uint8)
    assert eight.max() == 127
    assert (read(save(tmp_path / "b.dcm", eight, Modality="DX"))[..., 0] == eight).all()
    assert (read(save(tmp_path / "c.dcm", np.full((4, 4), 7, np.uint16))) == 0).all()


def test_channels(tmp_path, ramp):
    path = save(tmp_path / "a.dcm", ramp)
    assert read(path).shape == (16, 24, 3)
    assert read(path, channels="gray").shape == (16, 24, 1)
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    path = save(tmp_path / "b.dcm", colour, Modality="US")
    assert (read(path) == colour).all()
    assert (read(path, bits=16) == colour.astype(np.uint16) * 257).all()
    assert read(path, channels="gray").shape == (6, 8, 1)
    assert (read(path, output="raw") == colour).all()


def test_ways_to_show_colour_agree_with_pydicom():
    palette = pydicom.dcmread(get_testdata_file("examples_palette.dcm"))
    expected = pydicom.pixels.apply_color_lut(palette.pixel_array, palette)
    found = read(palette.filename, bits=16)
    assert found.shape == (*palette.pixel_array.shape, 3)
    assert (found == expected[..., :3]).all()
    ybr = get_testdata_file("SC_ybr_full_422_uncompressed.dcm")
    assert (read(ybr) == pydicom.pixels.pixel_array(ybr)).all()
    assert read(ybr)[..., 0].mean() != read(ybr)[..., 2].mean()


def test_a_frame_is_chosen(tmp_path, ramp):
    frames = np.stack([ramp, ramp // 2, ramp // 3])
    path = save(tmp_path / "a.dcm", frames)
    for number in range(3):
        assert (read(path, frame=number, output="raw")[..., 0] == frames[number]).all()
    with pytest.raises(DicomReadError, match="NumberOfFrames is 3; say which"):
        read(path)
    with pytest.raises(DicomReadError, match="no frame 3"):
        read(path, frame=3)


def test_enhanced_files_keep_windows_in_sequences(tmp_path, ramp):
    def groups(centre):
        voi, group, outer = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = centre, 800
        group.FrameVOILUTSequence = [voi]
        outer.groups = [group]
        return group

    frames = np.stack([ramp, ramp])
    path = save(tmp_path / "a.dcm", frames, PerFrameFunctionalGroupsSequence=[groups(0), groups(1000)])
    hu = ramp.astype(np.float32) - 1024
    for number, centre in enumerate((0, 1000)):
        assert (read(path, frame=number)[..., 0] == window(hu, centre, 800, 8, "LINEAR")).all()


def test_look_up_tables(tmp_path, ramp):
    def table(first, entries, bits):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
        item.add_new("LUTData", "US", entries)
        return [item]

    modality = table(0, [5 * number % 4096 for number in range(4096)], 12)
    path = save(tmp_path / "a.dcm", ramp, ModalityLUTSequence=modality, RescaleSlope=None, RescaleIntercept=None)
    assert (read(path, output="hu", channels="gray")[..., 0] == 5 * ramp.astype(int) % 4096).all()
    voi = table(0, [number // 16 for number in range(4096)], 8)
    path = save(tmp_path / "b.dcm", ramp, VOILUTSequence=voi, RescaleIntercept=0, WindowCenter=1, WindowWidth=2)
    assert (read(path)[..., 0] == ramp // 16).all()


def test_real_look_up_tables_agree_with_pydicom(competition_data):
    path = competition_data / "dicom_corner/pydicom_data/vlut_04.dcm"
    made = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_voi(made.pixel_array, made)
    bits = made.VOILUTSequence[0].LUTDescriptor[2]
    found = read(path, channels="gray", bits=16)[..., 0]
    difference = np.abs(found.astype(float) - expected / ((1 << bits) - 1) * 65535)
    assert difference.max() <= 1
    path = competition_data / "dicom_corner/pydicom_data/mlut_18.dcm"
    made = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_modality_lut(made.pixel_array, made)
    assert (read(path, output="hu", channels="gray")[..., 0] == expected).all()


def test_jpeg_lossless_is_what_another_decoder_says(competition_data):
    pytest.importorskip("gdcm", reason="no second decoder to compare with")
    pytest.importorskip("imagecodecs", reason="the decoder is not installed")
    colour = Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    folder = competition_data / "dicom_corner/pydicom_data"
    for path in (folder / "JPEG-LL.dcm", folder / "JPGLosslessP14SV1_1s_1f_8b.dcm", colour):
        made = pydicom.dcmread(path)
        ours, other = stored_values(made, path), pydicom.pixels.pixel_array(made, decoding_plugin="gdcm")
        assert ours.dtype == other.dtype
        assert (ours == other).all()
        assert ours.any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_jpeg_lossless_of_any_sign_and_depth(tmp_path, bits, signed):
    imagecodecs = pytest.importorskip("imagecodecs")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    pixels = np.random.default_rng(0).integers(low, high + 1, (20, 30)).astype(np.int16 if signed else np.uint16)
    stream = imagecodecs.ljpeg_encode(pixels.view(np.uint16) & np.uint16((1 << bits) - 1), bitspersample=bits)
    made = {"PixelData": encapsulate([stream]), "BitsStored": bits, "HighBit": bits - 1, "syntax": JPEGLosslessSV1}
    path = save(tmp_path / "a.dcm", pixels, **made)
    assert (read(path, output="raw", channels="gray")[..., 0] == pixels).all()


# --- what cannot be read ----------------------------------------------------------------------------------------------


def broken(tmp_path, ramp):
    """A file of every kind of damage, and the tag that the error must name."""
    good = dict(WindowCenter=40, WindowWidth=400)
    yield "no pixels", save(tmp_path / "1.dcm", ramp, PixelData=None), "PixelData"
    yield "no Rows", save(tmp_path / "2.dcm", ramp, Rows=None), "Rows"
    yield "Rows lie up", save(tmp_path / "3.dcm", ramp, Rows=20), "PixelData"
    yield "Rows lie down", save(tmp_path / "4.dcm", ramp, Rows=10), "PixelData"
    yield "no photometric", save(tmp_path / "5.dcm", ramp, PhotometricInterpretation=None), "PhotometricInterpretation"
    yield "window width 0", save(tmp_path / "6.dcm", ramp, WindowCenter=40, WindowWidth=0), "WindowWidth"
    yield "half a window", save(tmp_path / "7.dcm", ramp, WindowCenter=40), "WindowWidth"
    yield "slope empty", save(tmp_path / "8.dcm", ramp, RescaleSlope="empty", **good), "RescaleSlope"
    yield "slope 0", save(tmp_path / "9.dcm", ramp, RescaleSlope=0, **good), "RescaleSlope"
    yield "intercept empty", save(tmp_path / "10.dcm", ramp, RescaleIntercept="empty", **good), "RescaleIntercept"
    yield "huge", save(tmp_path / "11.dcm", ramp, Rows=65535, Columns=65535), "Rows x Columns"
    yield "no bits", save(tmp_path / "12.dcm", ramp, BitsAllocated=None), "BitsAllocated"
    yield "0 rows", save(tmp_path / "13.dcm", ramp, Rows=0), "Rows"
    yield "unknown function", save(tmp_path / "14.dcm", ramp, VOILUTFunction="CURVE", **good), "VOILUTFunction"
    yield "0 frames", save(tmp_path / "15.dcm", ramp, NumberOfFrames=0), "NumberOfFrames"
    whole = save(tmp_path / "16.dcm", ramp).read_bytes()
    for name, content in (
        ("truncated in pixels", whole[:-100]),
        ("truncated in header", whole[:400]),
        ("zero bytes", b""),
        ("html", b"<!DOCTYPE html><html><body>403 Forbidden</body></html>" * 30),
        ("noise", np.random.default_rng(0).bytes(5000)),
        ("preamble alone", b"\0" * 128 + b"DICM"),
        ("picture", cv2.imencode(".png", ramp)[1].tobytes()),
    ):
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(content)
        yield name, path, None
    jpeg = cv2.imencode(".jpg", (ramp >> 4).astype(np.uint8))[1].tobytes()
    eight = (ramp >> 4).astype(np.uint8)
    made = {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([jpeg])}
    yield "compressed Rows lie", save(tmp_path / "17.dcm", eight, Rows=15, **made), "Rows x Columns"
    half = made | {"PixelData": encapsulate([jpeg[: len(jpeg) // 2]])}
    yield "half a jpeg", save(tmp_path / "18.dcm", eight, **half), "PixelData"
    yield "directory", tmp_path, None
    yield "missing", tmp_path / "nowhere.dcm", None


def test_everything_broken_is_named(tmp_path, ramp):
    for what, path, tag in broken(tmp_path, ramp):
        with pytest.raises(DicomReadError) as caught:
            read(path)
        assert str(path) in str(caught.value), what
        if tag is not None:
            assert caught.value.tag == tag, f"{what}: {caught.value}"
        assert Path(caught.value.path) == path


def test_html_is_quoted(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"<html>" * 40)
    with pytest.raises(DicomReadError, match="begins with b'<html>"):
        read(path)


def test_error_crosses_processes():
    error = DicomReadError("a.dcm: Rows is None", "a.dcm", "Rows", None)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.path, back.tag) == (str(error), "a.dcm", "Rows")
    assert isinstance(type(error)("only a message"), ImageReadError)  # as a loader process raises it again


def test_a_file_without_preamble_is_read(tmp_path, ramp):
    made = dataset(ramp)
    meta = made.file_meta
    del made.file_meta
    made["PixelData"].VR = "OW"
    pydicom.dcmwrite(tmp_path / "a.dcm", made, implicit_vr=True, little_endian=True)
    assert meta is not None
    assert (read(tmp_path / "a.dcm", output="raw", channels="gray")[..., 0] == ramp).all()


def test_compressed_without_a_decoder_names_the_extra(tmp_path, monkeypatch):
    import pydicom.pixels

    eight = np.zeros((64, 64), np.uint8)
    stream = cv2.imencode(".jp2", eight)[1].tobytes()
    path = save(tmp_path / "a.dcm", eight, syntax=JPEG2000Lossless, PixelData=encapsulate([stream]))
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(DicomReadError, match=r'pip install -e "\.\[dicom\]"') as caught:
        read(path)
    assert caught.value.tag == "TransferSyntaxUID"


def test_huge_claims_take_no_memory(tmp_path, ramp):
    """A header of 65535 x 65535, and a small deflated file that unpacks to more than a gigabyte."""
    huge = save(tmp_path / "huge.dcm", ramp, Rows=65535, Columns=65535)
    deflated = save(tmp_path / "deflated.dcm", ramp, syntax=DeflatedExplicitVRLittleEndian)
    assert (read(deflated, output="raw", channels="gray")[..., 0] == ramp).all()
    length = 144 + int(pydicom.filereader.read_file_meta_info(deflated).FileMetaInformationGroupLength)
    press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = press.compress(bytes(1 << 24)) + press.flush(zlib.Z_FULL_FLUSH)  # stands alone, so it can be repeated
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(deflated.read_bytes()[:length] + block * 70)
    assert bomb.stat().st_size < 8 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DicomReadError, match="pixel_limit"):
        read(huge)
    with pytest.raises(DicomReadError, match="unpacks to more than"):
        read(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < (1 << 28) // (1 if sys.platform == "darwin" else 1024)


def test_no_damage_gets_past(tmp_path, ramp):
    """Flipped and missing bytes: a picture or a DicomReadError, nothing else."""
    random = np.random.default_rng(0)
    names = ("CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "JPGExtended.dcm")
    outcomes = []
    for name in names:
        whole = Path(get_testdata_file(name)).read_bytes()
        for number in range(30):
            content = bytearray(whole)
            reach = len(content) if number % 2 else min(len(content), 2000)
            for place in random.integers(128, reach, size=1 + number % 5):
                content[place] = random.integers(256)
            path = tmp_path / "a.dcm"
            path.write_bytes(content[: random.integers(len(content))] if number % 7 == 0 else content)
            try:
                outcomes.append(read(path).dtype == np.uint8)
            except DicomReadError:
                outcomes.append(False)
    assert True in outcomes
    assert False in outcomes


def test_a_cut_lossless_stream_is_refused(tmp_path, ramp):
    imagecodecs = pytest.importorskip("imagecodecs")
    stream = imagecodecs.ljpeg_encode(ramp, bitspersample=12)
    made = {"BitsStored": 12, "HighBit": 11, "syntax": JPEGLosslessSV1}
    whole = save(tmp_path / "a.dcm", ramp, PixelData=encapsulate([stream]), **made)
    assert (read(whole, output="raw", channels="gray")[..., 0] == ramp).all()
    cut = save(tmp_path / "b.dcm", ramp, PixelData=encapsulate([stream[: len(stream) // 2]]), **made)
    with pytest.raises(DicomReadError, match="truncated"):
        read(cut)


def test_streams_tell_their_size(ramp):
    eight = (ramp >> 4).astype(np.uint8)
    assert codestream_size(cv2.imencode(".jpg", eight)[1].tobytes()) == (16, 24)
    assert codestream_size(b"\0\1\2\3") is None
    assert codestream_size(b"\xff\xd8\xff") is None


def corner_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def agrees(path: Path) -> bool:
    """Whether the file is read, and then as pydicom reads it; False where it is refused in the documented way."""
    row = SimpleNamespace(image_id="a", path=path, frame=0)
    try:
        found = DicomReader(output="raw").read(row)
        picture = DicomReader().read(row)
    except DicomReadError as error:
        return not error.path  # an error always names its file
    assert DicomReader().size(row) == found.shape[:2]
    assert (picture.dtype, picture.shape) == (np.uint8, (*found.shape[:2], 3))
    try:
        expected = pydicom.pixels.pixel_array(path, index=0)
    except Exception:
        return True  # imagecodecs reads it, or it has no preamble
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert (found == expected).all(), path
    return True


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_pydicom_is_read_or_refused():
    folder = Path(get_testdata_file("CT_small.dcm")).parent
    results = {path: agrees(path) for path in corner_files(folder) if path.stat().st_size < 1 << 20}
    readable = {path.name for path, is_read in results.items() if is_read}
    assert {"CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_padded.dcm", "SC_rgb_rle_16bit.dcm"} <= readable
    assert not {"MR_truncated.dcm", "rtplan.dcm", "DICOMDIR", "README.txt", "no_meta.dcm"} & readable


@pytest.mark.filterwarnings("ignore")
def test_every_corner_file_is_read_or_refused(competition_data):
    for decoder in ("imagecodecs", "openjpeg", "jpeg_ls"):
        pytest.importorskip(decoder, reason='needs the decoders of pip install -e ".[dicom]"')
    results = {path: agrees(path) for path in corner_files(competition_data / "dicom_corner")}
    refused = {path.name for path, is_read in results.items() if not is_read and path.suffix == ".dcm"}
    documents = {name for name in refused if name.startswith(("sr_", "sm_annotations"))}
    # 1-bit RLE, deflated frames and a cut stream: pydicom reads none of them either.
    assert {name for name in refused - documents if "rle" not in name and "deflate" not in name} <= {
        "emri_small_jpeg_2k_lossless_too_short.dcm"
    }


# --- series -----------------------------------------------------------------------------------------------------------


def write_series(folder: Path, count: int = 5, step: float = 2.0, **elements) -> list[Path]:
    files = []
    for number in range(count):
        pixels = np.full((6, 8), 100 * number, np.uint16)
        facts = {"ImagePositionPatient": [0, 0, -10 + step * number], "ImageOrientationPatient": AXIAL}
        facts |= {"PixelSpacing": [0.5, 0.7], "SliceThickness": 5, "InstanceNumber": count - number}
        name = f"{(number * 3) % count}.dcm"  # names tell nothing
        files.append(save(folder / name, pixels, **(facts | elements)))
    return files


def test_series_is_sorted_and_placed(tmp_path):
    files = write_series(tmp_path)
    volume, affine = read_series(files[::-1])
    assert volume.dtype == np.int16
    assert volume[:, 0, 0].tolist() == [-1024, -924, -824, -724, -624]
    assert affine[:3, 0].tolist() == [0, 0, 2]  # from positions: SliceThickness says 5
    assert affine[:3, 1].tolist() == [0, -0.5, 0]
    assert affine[:3, 2].tolist() == [-0.7, 0, 0]
    assert affine[:3, 3].tolist() == [0, 0, -10]


def test_holes_are_warned_about_and_doubles_refused(tmp_path):
    files = write_series(tmp_path, count=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_series(files)
    with pytest.warns(UserWarning, match="1 slices seem to be missing"):
        read_series(files[:3] + files[4:])
    double = tmp_path / "again.dcm"
    double.write_bytes(files[2].read_bytes())
    with pytest.raises(DicomReadError, match="same place"):
        read_series([*files, double])


def test_strangers_in_a_series_are_named(tmp_path):
    files = write_series(tmp_path)
    for name, pixels, facts in (
        ("size", np.zeros((4, 4), np.uint16), {"ImageOrientationPatient": AXIAL}),
        ("turned", np.zeros((6, 8), np.uint16), {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}),
        ("nowhere", np.zeros((6, 8), np.uint16), {"ImagePositionPatient": None, "ImageOrientationPatient": AXIAL}),
    ):
        facts = {"ImagePositionPatient": [0, 0, 50], "PixelSpacing": [0.5, 0.7]} | facts
        path = save(tmp_path / f"{name}.dcm", pixels, **facts)
        with pytest.raises(DicomReadError):
            read_series([*files, path])
    with pytest.raises(DicomReadError):
        read_series([])


@pytest.fixture(scope="module")
def organs(competition_data):
    """The real CT: volume, affine, and its organ labels in the same order."""
    folder = competition_data / "ct_totalseg"
    files = sorted((folder / "dicom").glob("*.dcm"))
    volume, affine = read_series(files)
    height = {path: float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]) for path in files}
    order = sorted(files, key=height.get)
    labels = np.stack([cv2.imread(str(folder / "masks" / f"{path.stem}.png"), -1) for path in order])
    names = {name: int(number) for number, name in json.loads((folder / "classes.json").read_text()).items()}
    return volume, affine, labels, names


def test_organs_of_a_real_ct_have_their_density(organs):
    volume, _, labels, names = organs
    assert volume.shape == (20, 512, 512)
    assert volume.min() == -1024
    for name, low, high in (
        ("liver", 70, 110),
        ("spleen", 60, 100),
        ("aorta", 140, 220),
        ("vertebrae_T12", 200, 350),
        ("rib_left_7", 180, 350),
        ("spinal_cord", 0, 40),
        ("autochthon_left", 10, 50),
    ):
        assert low < volume[labels == names[name]].mean() < high, name


def test_organs_of_a_real_ct_lie_on_their_side(organs):
    """In RAS the spleen is left of the liver, the spine behind the aorta, and slices go up."""
    _, affine, labels, names = organs

    def centre(name):
        return (affine @ [*np.argwhere(labels == names[name]).mean(axis=0), 1])[:3]

    assert centre("spleen")[0] < centre("liver")[0]  # R is +x
    assert centre("vertebrae_T12")[1] < centre("aorta")[1]  # A is +y
    assert affine[2, 0] == pytest.approx(2.0)
    assert centre("vertebrae_T11")[2] > centre("vertebrae_T12")[2]


def test_a_real_series_of_signed_values_has_its_padding_as_air(competition_data):
    files = sorted((competition_data / "ct_dcmqi/ct-3slice").glob("*.dcm"))
    volume, affine = read_series(files)
    raw = np.stack([read(path, output="raw", channels="gray")[..., 0] for path in files[::-1]])  # z falls with the name
    assert (raw == -2000).any()
    assert (volume[raw == -2000] == -1000).all()
    assert volume[raw != -2000].min() >= -1024
    assert affine[2, 0] == pytest.approx(1.0)
    assert affine[2, 3] == pytest.approx(-128.69)


# --- the table --------------------------------------------------------------------------------------------------------


def test_nested_and_flat_files_with_and_without_ending(tmp_path, ramp):
    save(tmp_path / "train/study/series/1.2.840.7.dcm", ramp, PatientID="P1", ViewPosition="PA")
    save(tmp_path / "train/other/series/1.2.840.8", ramp, PatientID="P2", PixelSpacing=[0.5, 0.7])
    (tmp_path / "train/other/series/._1.2.840.8").write_bytes(b"resource fork")
    (tmp_path / "train/other/series/DICOMDIR").write_bytes(b"nothing")
    save(tmp_path / "flat/a.DCM", ramp)
    save(tmp_path / "flat/b.dicom", ramp)
    data = DicomDataModule(root=str(tmp_path), images="train/*/*/*", test_images="flat/*", targets=[])
    table = data.table()
    assert table["image_id"].tolist() == ["1.2.840.7", "1.2.840.8"]
    assert table["PatientID"].tolist() == ["P1", "P2"]
    assert table["ViewPosition"].tolist() == ["PA", ""]
    assert table["PixelSpacing"].tolist() == ["", "0.5\\0.7"]
    assert data.test_table()["image_id"].tolist() == ["a", "b"]
    assert all(data.reader.read(row).shape == (16, 24, 3) for row in rows_of(table))


def test_ids_by_option(tmp_path, ramp):
    for name in ("one", "two"):
        save(tmp_path / name / "1.dcm", ramp, SOPInstanceUID=f"1.2.{len(name)}.{ord(name[0])}")
    table = {
        kind: DicomDataModule(root=str(tmp_path), images="*/*.dcm", targets=[], image_ids=kind).table
        for kind in ("file", "sop", "folder")
    }
    with pytest.raises(ValueError, match="data.image_ids"):
        table["file"]()
    assert table["folder"]()["image_id"].tolist() == ["one", "two"]
    assert table["sop"]()["image_id"].tolist() == ["1.2.3.111", "1.2.3.116"]
    named = DicomDataModule(root=str(tmp_path), images="{image_id}/*.dcm", targets=[])
    assert named.table()["image_id"].tolist() == ["one", "two"]


def test_files_without_a_picture_are_named(tmp_path, ramp):
    save(tmp_path / "a.dcm", ramp)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DicomReadError, match=r"notes\.txt is no DICOM file"):
        DicomDataModule(root=str(tmp_path), images="*", targets=[]).table()
    (tmp_path / "notes.txt").unlink()
    save(tmp_path / "report.dcm", Modality="SR", PhotometricInterpretation=None)
    with pytest.raises(DicomReadError, match=r"report\.dcm: Rows is None"):
        DicomDataModule(root=str(tmp_path), images="*", targets=[]).table()
    with pytest.raises(FileNotFoundError, match="no images"):
        DicomDataModule(root=str(tmp_path), images="*.ima", targets=[]).table()
    with pytest.raises(ValueError, match="'PatientId' is no DICOM keyword"):
        DicomDataModule(root=str(tmp_path), images="a.dcm", targets=[], tags=["PatientId"]).table()


def test_patients_stay_together_and_empty_ones_are_said(tmp_path, ramp):
    random = np.random.default_rng(0)
    for number in range(8):
        pixels = random.integers(0, 4096, (8, 8)).astype(np.uint16)
        save(tmp_path / f"{number}.dcm", pixels, PatientID=f"P{number // 2}")
    cv = CrossValidation(k=2, group="PatientID")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[])
    folds = make_folds(data.fold_table(cv), cv).merge(data.table(), on="image_id")
    assert (folds.groupby("PatientID")["fold"].nunique() == 1).all()
    save(tmp_path / "8.dcm", ramp, PatientID="empty")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[])
    with pytest.raises(ValueError, match=r"cv\.group is PatientID, which is empty in 1 of 9 files"):
        data.fold_table(cv)


def test_frames_are_images(tmp_path, ramp):
    frames = np.stack([ramp, ramp // 2])
    save(tmp_path / "a.dcm", frames)
    with pytest.raises(DicomReadError, match="data.frames: true"):
        DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[]).table()
    reader = DicomReader(output="raw", channels="gray")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[], frames=True, reader=reader)
    rows = rows_of(data.table())
    assert [row.image_id for row in rows] == ["a_0", "a_1"]
    assert all((reader.read(row)[..., 0] == frame).all() for row, frame in zip(rows, frames, strict=True))


def test_neighbours_are_channels_with_the_ends_repeated(tmp_path):
    write_series(tmp_path, SeriesInstanceUID="1.2.3")
    reader = DicomReader(output="raw", neighbours=1, stride=2)
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[], reader=reader)
    rows = sorted(rows_of(data.table()), key=lambda row: row.position)
    found = [reader.read(row)[0, 0].tolist() for row in rows]
    assert found == [[0, 0, 200], [0, 100, 300], [0, 200, 400], [100, 300, 400], [200, 400, 400]]
    assert len(reader.files(rows[2])) == 3
    assert reader.files(rows[2])[0] == rows[2].path
    with pytest.warns(UserWarning, match="set cv.group: series"):
        data.fold_table(CrossValidation(k=2, duplicates=False))
    windows = DicomReader(windows=["lung", "bone"], neighbours=1)
    assert windows.read(rows[0]).shape == (6, 8, 6)
    with pytest.raises(ValueError, match="DicomDataModule"):
        reader.read(SimpleNamespace(image_id="a", path=rows[0].path))


def test_series_without_ids_are_folders(competition_data):
    """In the real CT all identifiers are empty and InstanceNumber falls as z rises."""
    data = DicomDataModule(
        root=str(competition_data / "ct_totalseg"),
        images="dicom/*.dcm",
        targets=[],
        tags=["InstanceNumber"],
        reader=DicomReader(output="hu", neighbours=1),
    )
    table = data.table().sort_values("position")
    assert table["series"].nunique() == 1
    assert (np.diff(table["position"]) > 0).all()
    assert (np.diff(table["InstanceNumber"].astype(int)) < 0).all()
    middle = rows_of(table)[7:10]
    stack = data.reader.read(middle[1])
    for channel, row in enumerate(middle):
        alone = DicomReader(output="hu", channels="gray").read(row)
        assert (stack[..., channel] == alone[..., 0]).all()


def test_a_slice_without_a_place_has_no_neighbours(tmp_path, ramp):
    save(tmp_path / "a.dcm", ramp)
    table = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[]).table()
    assert table["position"].isna().all()
    with pytest.raises(ValueError, match=r"a\.dcm has no ImagePositionPatient"):
        neighbour_slices(table, 1, 1)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="windows go with output: voi"):
        DicomReader(output="hu", windows=["lung"])
    with pytest.raises(ValueError, match="no window 'lungs'"):
        DicomReader(windows=["lungs"])
    with pytest.raises(ValueError, match="width above 0"):
        DicomReader(windows=[[40, 0]])
    with pytest.raises(ValueError, match="neighbours is -1"):
        DicomReader(neighbours=-1)


def test_unreadable_training_files_can_be_left_out(tmp_path, ramp):
    for name in "ab":
        save(tmp_path / f"train/{name}.dcm", ramp)
    (tmp_path / "train/c.dcm").write_bytes(b"<html>403</html>")
    (tmp_path / "test").mkdir()
    shutil.copy(tmp_path / "train/c.dcm", tmp_path / "test/d.dcm")
    with pytest.raises(DicomReadError, match="c.dcm"):
        DicomDataModule(root=str(tmp_path), images="train/*", targets=[]).table()
    data = DicomDataModule(str(tmp_path), "train/*", test_images="test/*", targets=[], skip_unreadable=True)
    with pytest.warns(UserWarning, match=r"(?s)leaves 1 of 3 files out.*c\.dcm"):
        assert data.table()["image_id"].tolist() == ["a", "b"]
    with pytest.raises(DicomReadError, match="d.dcm"):
        data.test_table()

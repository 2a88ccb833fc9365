"""DICOM SEG and RTSTRUCT as truth: real segmentations against their NRRD twins, contours with a known answer."""

import gzip
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from datamodules import DicomDataModule
from datamodules.readers import DicomReadError
from datamodules.readers.dicom_files import read_header
from datamodules.targets import DicomSegmentations, RtStructures
from datamodules.targets.base import Target


def read_nrrd(path: Path) -> tuple[np.ndarray, float]:
    """Volume `(D, H, W)` of a gzipped NRRD file, and the z of its first slice."""
    head, content = path.read_bytes().split(b"\n\n", 1)
    facts = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    kind = {"short": "<i2", "unsigned char": "u1", "uint8": "u1", "unsigned short": "<u2"}[facts["type"]]
    content = gzip.decompress(content) if facts["encoding"] in ("gzip", "gz") else content
    shape = [int(size) for size in facts["sizes"].split()][::-1]
    return np.frombuffer(content, kind).reshape(shape), float(facts["space origin"].strip("()").split(",")[2])


def height(path: Path | str) -> float:
    return float(read_header(path).ImagePositionPatient[2])


def prepared(target: Target, root: Path, images: str) -> tuple[Target, list]:
    files = sorted(root.glob(images))
    table = pd.DataFrame({"image_id": [path.stem for path in files], "path": [str(path) for path in files]})
    target.prepare(table, root)
    return target, [SimpleNamespace(**row) for row in table.to_dict("records")]


@pytest.fixture(scope="module")
def dcmqi(competition_data):
    return competition_data / "ct_dcmqi"


def test_frames_in_reverse_order_lie_on_their_slices(dcmqi):
    target, rows = prepared(DicomSegmentations("liver.dcm", classes=["Liver"]), dcmqi, "ct-3slice/*.dcm")
    expected, first = read_nrrd(dcmqi / "liver_seg.nrrd")
    assert len(rows) == 3
    for row in rows:
        mask = target.read(row, (512, 512))["mask"]
        truth = expected[round(height(row.path) - first)] > 0
        assert mask.shape == (1, 512, 512)
        assert mask.dtype == np.uint8
        assert truth.any()
        assert (mask[0] == truth).all()
    assert len({int((expected[index] > 0).sum()) for index in range(3)}) == 3  # so that a wrong order would show


def test_overlapping_segments_are_channels(dcmqi):
    target, rows = prepared(DicomSegmentations("partial_overlaps.dcm"), dcmqi, "ct-3slice/*.dcm")
    volumes = [read_nrrd(dcmqi / f"partial_overlaps-{number}.nrrd") for number in (1, 2, 3)]
    for row in rows:
        masks = target.read(row, (512, 512))["mask"]
        assert masks.shape == (5, 512, 512)
        for segment in range(1, 6):
            truth = np.logical_or.reduce([volume[round(height(row.path) - z)] == segment for volume, z in volumes])
            assert (masks[segment - 1] == truth).all()


def test_classes_by_label_number_and_union(dcmqi):
    every, rows = prepared(DicomSegmentations("partial_overlaps.dcm"), dcmqi, "ct-3slice/*.dcm")
    some, _ = prepared(
        DicomSegmentations("partial_overlaps.dcm", classes=["ORANGE", [1, "PURPLE"]]), dcmqi, "ct-3slice/*.dcm"
    )
    index, _ = prepared(
        DicomSegmentations("partial_overlaps.dcm", classes=["GREEN", "ORANGE"], as_index=True), dcmqi, "ct-3slice/*.dcm"
    )
    for row in rows:
        masks = every.read(row, (512, 512))["mask"]
        assert (some.read(row, (512, 512))["mask"] == [masks[1], masks[0] | masks[2]]).all()
        labels = index.read(row, (512, 512))["mask"]
        assert labels.dtype == np.int64
        assert (labels == np.where(masks[1] > 0, 2, masks[0])).all()


@pytest.mark.parametrize("name", ["noppv", "ppv5"])
def test_label_maps_leave_slices_without_frames_empty(dcmqi, name):
    target, rows = prepared(DicomSegmentations(f"sparse-labelmap-{name}.dcm"), dcmqi, "24x38x3/image/*.dcm")
    expected, first = read_nrrd(dcmqi / f"sparse_labelmap_{name}_seg.nrrd")
    areas = []
    for row in rows:
        mask = target.read(row, (38, 24))["mask"]
        assert mask.shape == (1, 38, 24)
        assert (mask[0] == (expected[round((height(row.path) - first) / 2.5)] == 1)).all()
        areas.append(int(mask.sum()))
    assert areas == [315, 0, 315]


def test_another_grid_is_refused(dcmqi):
    target, rows = prepared(DicomSegmentations("24x38x3/seg/label.seg"), dcmqi, "23x38x3/image/*.dcm")
    (row,) = (row for row in rows if height(row.path) == -175.25)  # the one slice that has a frame
    with pytest.raises(DicomReadError, match="another grid"):
        target.read(row, (38, 23))


def test_what_is_missing_is_said_before_training(dcmqi):
    with pytest.raises(FileNotFoundError, match="3 images have no segmentation"):
        prepared(DicomSegmentations("nowhere/{image_id}.dcm"), dcmqi, "ct-3slice/*.dcm")
    with pytest.raises(ValueError, match="none of the classes"):
        prepared(DicomSegmentations("liver.dcm", classes=["Spleen"]), dcmqi, "ct-3slice/*.dcm")
    with pytest.raises(ValueError, match="no column 'PatientID'"):
        prepared(DicomSegmentations("{PatientID}.dcm"), dcmqi, "ct-3slice/*.dcm")
    with pytest.raises(DicomReadError, match="not a DICOM segmentation"):
        prepared(DicomSegmentations("ct-3slice/01.dcm"), dcmqi, "ct-3slice/*.dcm")
    with pytest.raises(ValueError, match="needs classes"):
        DicomSegmentations("liver.dcm", missing="empty")
    target, rows = prepared(
        DicomSegmentations("nowhere/*.dcm", classes=["Liver"], missing="empty"), dcmqi, "ct-3slice/*.dcm"
    )
    assert target.read(rows[0], (512, 512))["mask"].shape == (1, 512, 512)
    assert target.files(rows[0]) == []


def test_fractions_count_from_one_half(competition_data):
    folder = competition_data / "dicom_corner" / "highdicom"
    whole = {}
    images = Path(get_testdata_file("DICOMDIR")).parent / "77654033" / "CT2"
    for name in ("seg_image_ct_binary", "seg_image_ct_binary_fractional", "seg_image_ct_true_fractional"):
        target = DicomSegmentations(f"{name}.dcm")
        files = sorted(images.iterdir())
        table = pd.DataFrame({"image_id": [path.name for path in files], "path": [str(path) for path in files]})
        target.prepare(table, folder)
        rows = [SimpleNamespace(**row) for row in table.to_dict("records")]
        whole[name] = np.stack([target.read(row, (16, 16))["mask"] for row in rows])
        assert set(np.unique(whole[name])) == {0, 1}
    assert (whole["seg_image_ct_binary"] == whole["seg_image_ct_binary_fractional"]).all()


# --- contours --------------------------------------------------------------------------------------------------------


def save(path: Path, made: Dataset, kind: str) -> Path:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = kind
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.save_as(path, enforce_file_format=True)
    return path


ORIENTATION = [0, 1, 0, 0, 0, -1]  # sagittal: rows run to the back, columns down
START, SPACING, SIZE = (3.0, -20.0, 50.0), (0.5, 0.8), (60, 50)


def world(row, column, x=START[0]):
    """Where a pixel lies: LPS millimetres."""
    return [x, START[1] + SPACING[1] * column, START[2] - SPACING[0] * row]


def contour(points, kind="CLOSED_PLANAR"):
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
    item.ContourData = [round(float(number), 4) for point in points for number in point]
    return item


def circle(row, column, radius, x=START[0], count=720):
    """A circle in millimetres around a pixel."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return contour(
        [world(row + radius * np.sin(a) / SPACING[0], column + radius * np.cos(a) / SPACING[1], x) for a in angles]
    )


def traced(mask, how=cv2.CHAIN_APPROX_NONE):
    """The contours of a mask as rt-utils writes them: through the centres of its pixels."""
    outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, how)[0]
    return [contour([world(row, column) for column, row in outline[:, 0].tolist()]) for outline in outlines]


def write_structures(tmp_path, rois):
    """Two sagittal slices, and a structure set of contours by name."""
    for number, x in enumerate((3.0, 5.0)):
        image = Dataset()
        image.Rows, image.Columns = SIZE
        image.SamplesPerPixel, image.PhotometricInterpretation, image.Modality = 1, "MONOCHROME2", "CT"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation, image.PatientID = 15, 0, "P1"
        image.ImagePositionPatient, image.ImageOrientationPatient = [x, START[1], START[2]], ORIENTATION
        image.PixelSpacing = list(SPACING)
        image.add_new("PixelData", "OW", np.zeros(SIZE, np.uint16).tobytes())
        save(tmp_path / f"{number}.dcm", image, CTImageStorage)
    structures = Dataset()
    structures.StructureSetROISequence, structures.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 1):
        item, drawn = Dataset(), Dataset()
        item.ROINumber, item.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ContourSequence = number, contours
        structures.StructureSetROISequence.append(item)
        structures.ROIContourSequence.append(drawn)
    save(tmp_path / "P1.rt", structures, RTStructureSetStorage)
    return tmp_path


@pytest.fixture
def sagittal(tmp_path):
    """A ring on the first slice, a disc on the second, a point."""
    rois = {"ring": [circle(30, 25, 9), circle(30, 25, 4)], "disc": [circle(20, 20, 5, x=5.0)]}
    return write_structures(tmp_path, rois | {"point": [contour([world(1, 1)], "POINT")]})


def distance(row, column):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot((rows - row) * SPACING[0], (columns - column) * SPACING[1])


def test_contours_are_filled_on_their_slice_with_holes(sagittal):
    target = RtStructures("{PatientID}.rt", ["ring", "disc", "point", ["ring", 2]])
    data = DicomDataModule(root=str(sagittal), images="*.dcm", targets=[target])
    truths = [data.target_arrays(SimpleNamespace(**row))["mask"] for row in data.table().to_dict("records")]
    far = distance(30, 25)
    ring = (far < 9) & (far > 4)
    disc = distance(20, 20) < 5
    edge = (np.abs(far - 9) < 0.01) | (np.abs(far - 4) < 0.01)
    near = np.abs(distance(20, 20) - 5) < 0.01
    nothing = np.zeros(SIZE, bool)
    for truth, expected in zip(truths, ([ring, nothing, nothing, ring], [nothing, disc, nothing, disc]), strict=True):
        assert truth.shape == (4, *SIZE)
        for mask, wanted in zip(truth, expected, strict=True):
            assert (mask.astype(bool) == wanted)[~(edge | near)].all()
    assert truths[0][0].sum() * SPACING[0] * SPACING[1] == pytest.approx(np.pi * (81 - 16), rel=0.03)


@pytest.mark.parametrize("how", [cv2.CHAIN_APPROX_NONE, cv2.CHAIN_APPROX_SIMPLE])
def test_masks_that_were_traced_come_back_whole(tmp_path, how):
    """Rings, lines, single pixels and anything else: pixels whose centres the contours go through are theirs."""
    random = np.random.default_rng(0)
    masks = {name: np.zeros(SIZE, bool) for name in ("ring", "line", "pixel", "keyhole", "noise", "islands")}
    masks["ring"][10:35, 5:20], masks["ring"][15:30, 8:17] = True, False
    masks["line"][7, 3:13] = masks["pixel"][50, 40] = True
    masks["keyhole"][10:30, 10:30], masks["keyhole"][15:25, 15:25], masks["keyhole"][20, 25:30] = True, False, False
    masks["noise"] = random.random(SIZE) < 0.6
    masks["islands"][5:45, 5:45], masks["islands"][10:40, 10:40], masks["islands"][20:30, 20:30] = True, False, True
    root = write_structures(tmp_path, {name: traced(mask, how) for name, mask in masks.items()})
    target = RtStructures("{PatientID}.rt", list(masks))
    data = DicomDataModule(root=str(root), images="0.dcm", targets=[target])
    [row] = data.table().to_dict("records")
    found = data.target_arrays(SimpleNamespace(**row))["mask"]
    assert {name: int(mask.sum()) for name, mask in zip(masks, found, strict=True)} == {
        name: int(mask.sum()) for name, mask in masks.items()
    }
    assert (found == np.stack(list(masks.values()))).all()


def test_structures_that_are_not_there_are_named(sagittal):
    def truth(**arguments):
        target = RtStructures(**arguments)
        DicomDataModule(root=str(sagittal), images="*.dcm", targets=[target]).prepare_targets()

    with pytest.raises(ValueError, match="none of the structures .*1 'ring', 2 'disc'"):
        truth(pattern="{PatientID}.rt", structures=["heart"])
    with pytest.raises(FileNotFoundError, match="2 images have no structure set"):
        truth(pattern="{PatientID}.none", structures=["ring"])
    with pytest.raises(DicomReadError, match="not an RTSTRUCT"):
        truth(pattern="0.dcm", structures=["ring"])

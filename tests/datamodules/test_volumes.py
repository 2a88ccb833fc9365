"""Volumes: readers, masks, tables and patches, on files that are written here and on a real CT."""

import itertools
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.plain.volumes import find_volumes
from datamodules.readers.base import ImageReadError
from datamodules.readers.volumes import VolumeReader, read_grid, read_volume
from datamodules.targets.volumes import MaskVolumes
from datamodules.volumes import VolumeDataModule, VolumePatches
from datamodules.windows import RandomWindows
from preprocessing.metaimage import write_metaimage
from preprocessing.orientation import axis_codes, reorient

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed: pip install -e .[volumes]")

AFFINE = np.array([[0, 0, 0.7, -40], [0, 0.8, 0, 25], [2.5, 0, 0, -300], [0, 0, 0, 1]], float)  # RAS


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.T, affine[:, [2, 1, 0, 3]]), path)
    return path


def row_of(path: Path, **more) -> SimpleNamespace:
    return SimpleNamespace(image_id="one", path=str(path), weight=1.0, **more)


@pytest.fixture
def scan() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, (6, 8, 10)).astype(np.int16)


def write_slices(folder: Path, scan: np.ndarray, names: list[str], affine: np.ndarray = AFFINE) -> None:
    """A DICOM series of `(D, H, W)` HU whose axes run as the affine says."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1, 1])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for index, name in enumerate(names):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        file = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        file.SOPClassUID, file.SOPInstanceUID, file.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        file.Rows, file.Columns, file.SamplesPerPixel = *scan.shape[1:], 1
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
        file.PhotometricInterpretation, file.RescaleSlope, file.RescaleIntercept = "MONOCHROME2", 1, -1024
        file.PixelSpacing, file.SliceThickness = [float(spacing[1]), float(spacing[2])], float(spacing[0])
        columns = lps @ affine[:3, 2] / spacing[2], lps @ affine[:3, 1] / spacing[1]
        file.ImageOrientationPatient = [round(float(number), 6) for part in columns for number in part]
        file.ImagePositionPatient = [float(number) for number in lps @ (affine @ [index, 0, 0, 1])[:3]]
        file.PixelData = (scan[index].astype(np.int32) + 1024).astype(np.uint16).tobytes()
        file.save_as(folder / name, enforce_file_format=True)


# --- reader ----------------------------------------------------------------------------------------------------------


def test_all_formats_and_orientations_of_one_scan_give_the_same_array(tmp_path, scan):
    paths = [write_nifti(tmp_path / "a.nii.gz", scan), write_nifti(tmp_path / "b.nii", scan)]
    for codes in ("LPS", "SAR", "PIL"):
        turned, affine, _ = reorient(scan, AFFINE, codes)
        paths.append(write_nifti(tmp_path / f"{codes}.nii.gz", turned, affine))
        for ending in ("mha", "mhd"):
            paths.append(tmp_path / f"{codes}.{ending}")
            write_metaimage(paths[-1], turned, affine)
    lps, affine, _ = reorient(scan, AFFINE, "LPS")
    write_slices(tmp_path / "series", lps, [f"{number}.dcm" for number in range(6)], affine)
    paths.append(tmp_path / "series")
    for spacing, window in ((None, None), ([1.5, 1, 1], None), (None, [-600, 400])):
        reader = VolumeReader(spacing=spacing, window=window)
        images = [reader.read(row_of(path)) for path in paths]
        for path, image in zip(paths, images, strict=True):
            assert image.shape[:3] == reader.size(row_of(path)), path
            assert image.dtype == (np.uint8 if window else np.int16)
            # NIfTI keeps its affine in float32: a mean of x.5 may be rounded the other way.
            np.testing.assert_allclose(image, images[0], rtol=0, atol=1 if spacing else 0, err_msg=str(path))
            np.testing.assert_allclose(reader.grid(row_of(path))[1], reader.grid(row_of(paths[0]))[1], atol=1e-4)
    np.testing.assert_array_equal(VolumeReader().read(row_of(paths[0]))[..., 0], scan)


def test_the_axis_order_is_that_of_nibabel(tmp_path, scan):
    write_nifti(tmp_path / "a.nii.gz", scan)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.shape == scan.shape[::-1]
    volume, affine = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume[..., 0], np.asarray(image.dataobj).T)
    np.testing.assert_allclose(affine @ [1, 2, 3, 1], image.affine @ [3, 2, 1, 1])


def test_channels_of_nifti_and_windows(tmp_path, scan):
    both = np.stack([scan, scan // 2])
    write_nifti(tmp_path / "a.nii.gz", both)
    image = VolumeReader(axcodes="LPS").read(row_of(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(image, np.moveaxis(both, 0, -1)[:, ::-1, ::-1])
    windows = VolumeReader(window=[[-1200, 600], [-160, 240]]).read(row_of(tmp_path / "a.nii.gz"))
    assert windows.shape == (6, 8, 10, 4)
    assert windows.dtype == np.uint8
    one = VolumeReader(window=[-160, 240]).read(row_of(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(windows[..., [1, 3]], one)
    np.testing.assert_allclose(one[..., 0], np.clip((scan + 160) / 400, 0, 1) * 255, atol=0.51)


def test_shuffled_names_of_slices_give_the_same_volume(tmp_path, scan):
    write_slices(tmp_path / "a", scan, [f"{number:03d}.dcm" for number in range(6)])
    write_slices(tmp_path / "b", scan, ["z.dcm", "9", "10", "a.dcm", "02.dcm", "b.dcm"])
    (tmp_path / "b" / ".DS_Store").write_bytes(b"x")
    one, other = (VolumeReader().read(row_of(tmp_path / name)) for name in "ab")
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[..., 0], scan)
    listed = row_of(tmp_path, slices=[str(path) for path in sorted((tmp_path / "b").glob("[!.]*"))])
    np.testing.assert_array_equal(VolumeReader().read(listed), one)
    assert VolumeReader().files(listed) == [Path(path) for path in listed.slices]
    assert len(VolumeReader().files(row_of(tmp_path / "b"))) == 6


def test_missing_slices_are_said(tmp_path, scan):
    write_slices(tmp_path / "a", scan, [f"{number}.dcm" for number in range(6)])
    (tmp_path / "a" / "3.dcm").unlink()
    with pytest.warns(UserWarning, match="1 slices seem to be missing"):
        image = VolumeReader().read(row_of(tmp_path / "a"))
    assert image.shape[:3] == VolumeReader().size(row_of(tmp_path / "a")) == (5, 8, 10)


@pytest.mark.parametrize("axcodes", [None, "LPS", "SAR"])
@pytest.mark.parametrize("spacing", [None, [0.4, 0.4, 0.4]])
def test_predictions_are_brought_back_to_the_voxels_of_the_file(tmp_path, axcodes, spacing):
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[1:4, 2:6, 3:9] = 1
    path = write_nifti(tmp_path / "a.nii.gz", labels)
    reader = VolumeReader(axcodes=axcodes, spacing=spacing)
    mask = reader.placed(labels, read_grid(path)[1], order=0)[0]
    back = reader.restore(row_of(path), mask[None], order=0)
    assert back.shape == (1, 6, 8, 10)
    assert (back[0] != labels).mean() < 0.02 if spacing else (back[0] == labels).all()
    with pytest.raises(ValueError, match="its image"):
        reader.restore(row_of(path), np.zeros((1, 2, 3)))


def test_broken_files_are_named(tmp_path, scan):
    good = write_nifti(tmp_path / "good.nii.gz", scan)
    (tmp_path / "empty.nii.gz").touch()
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:-100])
    (tmp_path / "text.nii").write_text("no volume")
    (tmp_path / "text.mha").write_text("no volume")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "lone.mhd").write_text("NDims = 3\nDimSize = 2 2 2\nElementType = MET_CHAR\nElementDataFile = l.raw\n")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "readme.txt").write_text("no slice")
    write_nifti(tmp_path / "flat.nii", scan[0][None].astype(np.float32) * np.nan)
    nibabel.save(nibabel.Nifti1Image(scan[0], np.eye(4)), tmp_path / "plane.nii")
    names = ["empty.nii.gz", "cut.nii.gz", "text.nii", "text.mha", "picture.png", "nothing", "lone.mhd", "mixed"]
    for name in [*names, "flat.nii", "plane.nii", "absent.nii.gz", "absent"]:
        with pytest.raises(ImageReadError) as error:
            VolumeReader().read(row_of(tmp_path / name))
        assert name in str(error.value), (name, str(error.value))
    with pytest.raises(ImageReadError, match="max_voxels 100"):
        VolumeReader(max_voxels=100).read(row_of(good))
    with pytest.raises(ImageReadError, match="check reader.spacing"):
        VolumeReader(max_voxels=1000, spacing=[0.1, 0.1, 0.1]).size(row_of(good))


@pytest.mark.parametrize("arguments", [{"axcodes": "RRS"}, {"spacing": [1, 1]}, {"window": [3, 3]}, {"window": [1]}])
def test_settings_that_are_none(arguments):
    with pytest.raises(ValueError, match="expected"):
        VolumeReader(**arguments)


# --- masks -----------------------------------------------------------------------------------------------------------


def masks(root: Path, reader: VolumeReader, **more) -> MaskVolumes:
    target = MaskVolumes("labels/{image_id}.nii.gz", **more)
    target.follow(reader)
    target.root = root
    return target


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
@pytest.mark.parametrize("reader", [VolumeReader(), VolumeReader(None), VolumeReader("LPS", [1.7, 1, 0.9])])
def test_masks_stay_on_the_voxels_of_their_image(tmp_path, scan, reader, codes):
    """The image is its own label volume: bright voxels, however the two files are stored."""
    labels, affine, _ = reorient((scan > 0).astype(np.uint8), AFFINE, codes)
    write_nifti(tmp_path / "labels/one.nii.gz", labels, affine)
    row = row_of(write_nifti(tmp_path / "one.nii.gz", (scan > 0).astype(np.float32)))
    mask = masks(tmp_path, reader).read(row, reader.size(row))["mask"]
    assert mask.dtype == np.uint8
    assert mask.shape == (1, *reader.size(row))
    image = reader.read(row)[..., 0]
    if reader.spacing is None:
        np.testing.assert_array_equal(mask[0], image)
    else:  # the nearest voxel has the larger weight in the linear mean of its axis
        assert (mask[0][image > 0.95] == 1).all()
        assert (mask[0][image < 0.05] == 0).all()


@pytest.mark.parametrize("imagej", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_pages_of_a_tiff_are_slices(tmp_path, kind, imagej):
    volume = np.random.default_rng(0).integers(0, 200, (5, 8, 9)).astype(kind)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", volume, photometric="minisblack", imagej=imagej)
    tifffile.imwrite(tmp_path / "labels/a.tif", (volume > 99).astype(np.uint8), photometric="minisblack")
    (row,) = find_volumes(tmp_path, "images/*.tif").itertuples(index=False)
    reader = VolumeReader()
    image = reader.read(row)
    assert image.dtype == volume.dtype
    assert reader.size(row) == (5, 8, 9)
    np.testing.assert_array_equal(image[..., 0], volume)
    target = masks(tmp_path, reader)
    target.pattern = "labels/{image_id}.tif"
    np.testing.assert_array_equal(target.read(row, (5, 8, 9))["mask"][0], volume > 99)
    with pytest.raises(ImageReadError, match=r"a\.tif has no voxel size; remove reader.spacing"):
        VolumeReader(spacing=[1, 1, 1]).read(row)
    with pytest.raises(ImageReadError, match=r"a\.tif is 5 x 8 x 9 voxels, more than reader.max_voxels"):
        VolumeReader(max_voxels=359).read(row)


def test_class_numbers_are_chosen_joined_and_checked(tmp_path, scan):
    labels = np.random.default_rng(0).choice([0, 3, 7, 9, 255], scan.shape).astype(np.float64)
    write_nifti(tmp_path / "labels/one.nii.gz", labels)
    row, reader = row_of(write_nifti(tmp_path / "one.nii.gz", scan)), VolumeReader()
    mask = masks(tmp_path, reader, values=[7, [3, 9]]).read(row, scan.shape)["mask"]
    assert mask.dtype == np.int64
    expected = np.select([labels == 7, np.isin(labels, [3, 9]), labels == 255], [1, 2, 255], 0)
    np.testing.assert_array_equal(mask, expected)
    with pytest.raises(ValueError, match="has class 7, expected 0 to 3"):
        masks(tmp_path, reader, classes=4).read(row, scan.shape)
    with pytest.raises(ValueError, match="for class numbers"):
        masks(tmp_path, reader).read(row, scan.shape)
    write_nifti(tmp_path / "labels/one.nii.gz", labels / 2)
    with pytest.raises(ValueError, match="is it a probability map"):
        masks(tmp_path, reader, classes=4).read(row, scan.shape)


def test_masks_on_another_grid_are_refused_with_both_affines(tmp_path, scan):
    row, reader = row_of(write_nifti(tmp_path / "one.nii.gz", scan)), VolumeReader()
    near, far, coarse = AFFINE.copy(), AFFINE.copy(), AFFINE.copy()
    near[0, 3] += 0.002
    far[1, 3] += 0.4
    coarse[:3, 0] *= 1.2
    labels = (scan > 0).astype(np.uint8)
    write_nifti(tmp_path / "labels/one.nii.gz", labels, near)
    masks(tmp_path, reader).read(row, scan.shape)
    for array, affine in ((labels, far), (labels, coarse), (labels[:-1], AFFINE)):
        write_nifti(tmp_path / "labels/one.nii.gz", array, affine)
        with pytest.raises(ValueError, match="have different grids") as error:
            masks(tmp_path, reader).read(row, scan.shape)
        assert "one.nii.gz" in str(error.value)
        assert "-300.0" in str(error.value)
    with pytest.raises(ValueError, match="does not know the image reader"):
        MaskVolumes("labels/{image_id}.nii.gz").read(row, scan.shape)


# --- table and patches -----------------------------------------------------------------------------------------------


def test_ids_of_files_and_folders(tmp_path, scan):
    for name in ("a/ct.nii.gz", "b/ct.nii.gz", "x.1.nii.gz", "y.nii"):
        write_nifti(tmp_path / name, scan)
    write_metaimage(tmp_path / "z.mhd", scan, AFFINE, compress=False)
    write_slices(tmp_path / "scans/1.2.840.113", scan, [f"{number}" for number in range(6)])
    (tmp_path / ".hidden.nii").touch()
    assert find_volumes(tmp_path, "*.nii*")["image_id"].tolist() == ["x.1", "y"]
    assert find_volumes(tmp_path, "{image_id}/ct.nii.gz")["image_id"].tolist() == ["a", "b"]
    assert find_volumes(tmp_path, "scans/*/")["image_id"].tolist() == ["1.2.840.113"]
    assert find_volumes(tmp_path, "z*")["image_id"].tolist() == ["z"]
    with pytest.raises(ValueError, match="two volumes have the id 'ct'"):
        find_volumes(tmp_path, "*/ct.nii.gz")
    with pytest.raises(FileNotFoundError, match="check data.root"):
        find_volumes(tmp_path, "*.mha")
    with pytest.raises(ValueError, match="is outside"):
        find_volumes(tmp_path, "../*.nii")
    (tmp_path / "y.txt").touch()
    with pytest.raises(ValueError, match="does not have the ending of a volume"):
        find_volumes(tmp_path, "y*")


@pytest.fixture
def module(tmp_path):
    """Four volumes of different sizes; one is smaller than the patch, one has no foreground."""
    random = np.random.default_rng(0)
    for number, size in enumerate([(20, 30, 30), (9, 40, 33), (24, 24, 24), (18, 28, 40)]):
        mask = np.zeros(size, np.uint8)
        if number != 2:
            mask[3:6, 4:9, 20:23] = 1
        noise = random.integers(-1000, 0, size).astype(np.int16)
        write_nifti(tmp_path / f"images/{number}.nii.gz", noise + 1000 * mask.astype(np.int16))
        write_nifti(tmp_path / f"labels/{number}.nii.gz", mask)

    def make(**more) -> VolumeDataModule:
        settings = {"root": str(tmp_path), "images": "images/*.nii.gz", "fold": "all", "num_workers": 0} | more
        return VolumeDataModule(targets=[MaskVolumes("labels/{image_id}.nii.gz")], **settings)

    return make


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_patches_stack_hold_foreground_and_tell_what_is_padding(module, cache):
    data = module(windows=VolumePatches([12, 16, 16], positive=1.0), batch_size=4, samples_per_image=5, cache=cache)
    data.prepare_data()
    data.setup("fit")
    positive = {}
    for batch in data.train_dataloader():
        assert batch["image"].shape[1:] == (1, 12, 16, 16)
        assert batch["mask"].shape[1:] == (1, 12, 16, 16)
        assert batch["valid"].shape[1:] == (12, 16, 16)
        for index, image_id in enumerate(batch["image_id"]):
            valid = batch["valid"][index].numpy()
            assert valid.sum() == (9 * 16 * 16 if image_id == "1" else valid.size)
            mask, image = batch["mask"][index, 0].numpy(), batch["image"][index, 0].numpy()
            assert not mask[~valid].any()
            assert (image[~valid] == image[valid].min()).all()
            # Bright voxels are foreground in the file, so image and mask were cut alike.
            np.testing.assert_array_equal(mask[valid], image[valid] >= 0)
            positive.setdefault(image_id, []).append(bool(mask.any()))
    assert {name: all(found) for name, found in positive.items()} == {"0": True, "1": True, "2": False, "3": True}
    assert {len(found) for found in positive.values()} == {5}


def test_patches_are_drawn_anew_and_mirrored_together(module):
    patches = VolumePatches([18, 24, 24], flips=["slice", "row", "column"])
    data = module(windows=patches)
    data.prepare_data()
    data.setup("fit")
    image = np.arange(18 * 24 * 24).reshape(18, 24, 24, 1).astype(np.int16)
    data.train_dataloader()
    seen = set()
    for seed in range(60):
        turned, arrays = patches.finish(image, {"mask": image[None, ..., 0]}, np.random.default_rng(seed))
        np.testing.assert_array_equal(turned[..., 0], arrays["mask"][0])
        ways = [
            flip
            for flip in itertools.product((1, -1), repeat=3)
            if np.array_equal(turned, image[:: flip[0], :: flip[1], :: flip[2]])
        ]
        assert len(ways) == 1
        seen.add(ways[0])
    assert len(seen) == 8
    windows = {patches.row(3, np.random.default_rng(seed))[1].window for seed in range(20)}
    assert len(windows) > 10
    assert len({patches.row(3, np.random.default_rng(5))[1].window for _ in range(3)}) == 1


def test_no_valid_where_every_volume_is_large_enough(module):
    data = module(windows=VolumePatches([8, 16, 16], positive=0.0), batch_size=4)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert "valid" not in batch
    assert not batch["mask"].any()


def test_what_belongs_to_pictures_is_refused(module):
    import albumentations

    with pytest.raises(ValueError, match="albumentations does not support volumes"):
        module(augmentation=[albumentations.HorizontalFlip()])
    with pytest.raises(ValueError, match="which crops 2-D images"):
        module(windows=RandomWindows(16))
    from datamodules.readers import ImageReader

    with pytest.raises(ValueError, match="volumes need"):
        module(reader=ImageReader())
    for arguments in ({"size": [3, 3]}, {"size": [0, 3, 3]}, {"size": [3] * 3, "positive": 2}):
        with pytest.raises(ValueError, match="expected"):
            VolumePatches(**arguments)
    with pytest.raises(ValueError, match="flips has"):
        VolumePatches([3] * 3, flips=["x"])


def test_a_missing_label_volume_is_said_before_training(module, tmp_path):
    (tmp_path / "labels/2.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="1 images have no label volume; the first is '2'"):
        module().setup("fit")


def test_the_cache_sees_other_settings_of_the_reader(module, tmp_path):
    fine, coarse = (
        module(reader=VolumeReader(spacing=spacing), cache="disk", cache_dir=str(tmp_path / "cache"))
        for spacing in ([2.5, 0.8, 0.7], [5, 1.6, 1.4])
    )
    sizes = []
    for data in (fine, coarse, pickle.loads(pickle.dumps(fine))):
        data.prepare_data()
        data.setup("fit")
        assert isinstance(data._decoded, DecodedCache)
        image, arrays = data._decoded.read(SimpleNamespace(image_id="0"))
        assert arrays["mask"].shape == (1, *image.shape[:3])
        sizes.append(image.shape)
    assert sizes == [(20, 30, 30, 1), (10, 15, 15, 1), (20, 30, 30, 1)]


# --- a real CT -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(competition_data) -> Path:
    root = competition_data / "ct_totalseg"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    return root


def test_organs_of_a_real_ct_have_their_density(real):
    """The slices are DICOM (LPS), the labels NIfTI (LAS): wrong by a flip, liver and spleen would be air and bone."""
    reader = VolumeReader("LPS")
    row = row_of(real / "dicom")
    target = MaskVolumes("example_seg_dicom.nii.gz", classes=256, ignore=999)
    target.follow(reader)
    target.root = real
    mask = target.read(row, reader.size(row))["mask"]
    image = reader.read(row)[..., 0]
    assert image.shape == mask.shape == (20, 512, 512)
    assert image.dtype == np.int16
    for organ in (1, 5):  # spleen and liver, with contrast
        assert 60 < image[mask == organ].mean() < 120
    assert image[mask == 52].mean() > 100  # aorta, with contrast
    places = {path.stem: slice_place(path) for path in (real / "dicom").glob("*.dcm")}
    for index, name in enumerate(sorted(places, key=places.get)):
        picture = np.asarray(Image.open(real / "masks" / f"{name}.png"))
        np.testing.assert_array_equal(mask[index], picture)


def slice_place(path: Path) -> float:
    import pydicom

    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def test_shuffled_names_of_real_slices(real, tmp_path):
    files = sorted((real / "dicom").glob("*.dcm"))[:6]
    for number, path in enumerate(np.random.default_rng(0).permutation(files)):
        shutil.copyfile(path, tmp_path / f"{number}.dcm")
    shuffled, affine = read_volume(tmp_path)
    volume, same = read_volume(files)
    np.testing.assert_array_equal(shuffled, volume)
    np.testing.assert_allclose(affine, same)
    size, grid = read_grid(tmp_path)
    assert (size, axis_codes(grid)) == ((6, 512, 512), "LPS")
    np.testing.assert_allclose(grid, affine)


def test_a_real_nifti_pair_of_different_depths_is_refused(real):
    reader = VolumeReader(window=[-160, 240])
    row = row_of(real / "nifti_3mm/example_ct.nii.gz")
    assert reader.read(row).shape == (112, 101, 122, 1)
    target = MaskVolumes("nifti_3mm/example_seg.nii.gz", classes=256, ignore=999)
    target.follow(reader)
    target.root = real
    with pytest.raises(ValueError, match="have different grids"):
        Decoder(reader, [target]).read(row)

"""Label volumes: which voxels do not count, on the grid of the image, in patches and in what is read twice."""

from types import SimpleNamespace

import numpy as np
import pytest

from datamodules.targets import MaskVolumes
from datamodules.volumes import VolumeDataModule, VolumePatches
from preprocessing.orientation import reorient

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed: pip install -e .[volumes]")

from datamodules.readers import VolumeReader  # noqa: E402

SIZE = (8, 10, 12)
AFFINE = np.array([[0, 0, 0.7, -40], [0, 0.8, 0, 25], [2.5, 0, 0, -300], [0, 0, 0, 1]], float)


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.T, affine[:, [2, 1, 0, 3]]), path)


def read(root, reader, **settings):
    target = MaskVolumes("labels/{image_id}.nii.gz", **settings)
    target.follow(reader)
    target.root = root
    row = SimpleNamespace(image_id="a", path=str(root / "images/a.nii.gz"))
    return target.read(row, reader.size(row))


@pytest.fixture
def labels(tmp_path):
    found = np.kron(np.random.default_rng(0).choice([0, 1, 2, 7, 255], (4, 5, 6)), np.ones((2, 2, 2), int))
    write(tmp_path / "images/a.nii.gz", np.random.default_rng(1).integers(-900, 900, SIZE).astype(np.int16))
    return found.astype(np.int16)


@pytest.mark.parametrize("codes", ["RAS", "LPI"])
@pytest.mark.parametrize(
    ("settings", "classes", "ignored"),
    [
        ({"classes": 8}, {1: 1, 2: 2, 7: 7}, 255),
        ({"classes": 256, "ignore": 7}, {1: 1, 2: 2}, 7),
        ({"values": [2, [1, 7]]}, {2: 1, 1: 2, 7: 2}, 255),
        ({"values": [2, 255], "ignore": 0}, {2: 1, 255: 2}, 0),
    ],
)
def test_voxels_that_do_not_count(tmp_path, labels, settings, classes, ignored, codes):
    labels = np.where(labels == 255, 0, labels).astype(np.int16) if settings.get("classes") == 256 else labels
    stored, affine, _ = reorient(labels, AFFINE, codes)
    write(tmp_path / "labels/a.nii.gz", stored, affine)
    found = read(tmp_path, VolumeReader(None), **settings)
    expected = np.select([labels == value for value in classes], [*classes.values()])
    np.testing.assert_array_equal(found["mask"], np.where(labels == ignored, 255, expected))
    np.testing.assert_array_equal(found["valid"], labels != ignored)


def test_binary_masks(tmp_path, labels):
    binary = np.where(labels == 255, 7, labels > 0).astype(np.uint8)
    write(tmp_path / "labels/a.nii.gz", binary)
    found = read(tmp_path, VolumeReader(None), ignore=7)
    np.testing.assert_array_equal(found["mask"][0], binary == 1)
    np.testing.assert_array_equal(found["valid"], binary != 7)
    write(tmp_path / "labels/a.nii.gz", (labels > 0).astype(np.uint8) * np.uint8(255))
    assert set(read(tmp_path, VolumeReader(None))) == {"mask"}


def test_void_goes_where_its_voxels_go(tmp_path, labels):
    """Turned and resampled with the labels, whatever number stands for it in the file."""
    reader = VolumeReader("LPS", [1.7, 1.0, 0.9])
    write(tmp_path / "labels/a.nii.gz", labels)
    found = read(tmp_path, reader, classes=8)
    write(tmp_path / "labels/a.nii.gz", np.where(labels == 255, -1, labels).astype(np.int16))
    other = read(tmp_path, reader, classes=8, ignore=-1)
    np.testing.assert_array_equal(found["valid"], found["mask"] != 255)
    for name in ("mask", "valid"):
        np.testing.assert_array_equal(found[name], other[name])
    assert 0 < found["valid"].mean() < 1


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_patches_of_two_label_volumes(tmp_path, labels, cache):
    """One tells which voxels count; what the other holds elsewhere changes nothing, and draws no patch."""
    counted = np.zeros(SIZE, np.uint8)
    counted[:, :4] = 1
    found = []
    for under in (0, 1):
        write(tmp_path / "labels/a.nii.gz", np.where(counted, labels == 1, under).astype(np.uint8))
        write(tmp_path / "counted/a.nii.gz", counted)
        targets = [MaskVolumes("labels/{image_id}.nii.gz"), MaskVolumes("counted/{image_id}.nii.gz", "valid")]
        data = VolumeDataModule(
            str(tmp_path), "images/*.nii.gz", targets, fold="all", num_workers=0, batch_size=1,
            samples_per_image=6, cache=cache,
            windows=VolumePatches([10, 6, 6], positive=0.5, flips=["row", "column"]), reader=VolumeReader(None),
        )  # fmt: skip
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(0)
        found.append(list(loader))
    for one, other in zip(*found, strict=True):
        for name in ("image", "mask", "valid"):
            assert (one[name] == other[name]).all()
        assert not one["mask"][~one["valid"].unsqueeze(1)].any()
        assert not one["valid"][:, [0, -1]].any()  # padded: the volume has 8 slices

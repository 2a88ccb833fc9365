"""NumPy files as images and as truth, whole and by windows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from datamodules.readers import ImageReadError
from datamodules.readers.arrays import ArrayReader
from datamodules.targets.array_files import ArrayFiles
from datamodules.windows import crop


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 7)])
def test_images(tmp_path, dtype, shape):
    image = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    np.save(tmp_path / "a.npy", image)
    image = image.reshape(20, 30, -1)
    row = SimpleNamespace(image_id="a", path=str(tmp_path / "a.npy"))
    read = ArrayReader().read(row)
    assert read.dtype == dtype
    assert type(read) is np.ndarray
    assert (read == image).all()
    assert ArrayReader().size(row) == (20, 30)
    row.window = (3, 5, 10, 8)
    assert (ArrayReader().read(row) == crop(image, row.window, channels=True)).all()


def test_truth(tmp_path):
    masks = np.random.default_rng(0).integers(0, 2, (3, 20, 30)).astype(np.uint8)
    np.save(tmp_path / "a.npy", masks)
    target, row = ArrayFiles("{image_id}.npy"), SimpleNamespace(image_id="a")
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    assert (target.read(row, (20, 30))["mask"] == masks).all()
    assert target.files(row) == [tmp_path / "a.npy"]
    row.window = (3, 5, 10, 8)
    assert (target.read(row, (10, 8))["mask"] == crop(masks, row.window)).all()
    with pytest.raises(ValueError, match=r"a\.npy is .*its image 'a' is \(9, 8\)"):
        target.read(row, (9, 8))
    with pytest.raises(FileNotFoundError, match="'b'"):
        target.prepare(pd.DataFrame({"image_id": ["b"]}), tmp_path)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "objects", "one axis", "archive"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "a.npy"
    if damage != "missing":
        np.save(path, np.zeros(5) if damage == "one axis" else np.zeros((50, 50)))
    if damage == "objects":
        np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    if damage == "archive":
        with open(path, "wb") as handle:
            np.savez(handle, a=np.zeros((5, 5)))
    if damage in ("empty", "truncated", "text"):
        path.write_bytes({"empty": b"", "truncated": path.read_bytes()[:500], "text": b"no array"}[damage])
    with pytest.raises(ImageReadError, match=r"a\.npy"):
        ArrayReader().read(SimpleNamespace(image_id="a", path=str(path)))


def truth_of(root, array, **settings):
    np.save(root / "a.npy", array)
    target = ArrayFiles("{image_id}.npy", **settings)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    return target.read(SimpleNamespace(image_id="a"), array.shape[-2:])


def test_truth_that_does_not_count(tmp_path):
    numbers = np.array([[0, 1, 2, 255]])
    for kind in (np.int64, np.uint8):
        found = truth_of(tmp_path, numbers.astype(kind), classes=3)
        np.testing.assert_array_equal(found["mask"], numbers)
        assert found["mask"].dtype == np.int64
        np.testing.assert_array_equal(found["valid"], numbers < 255)
    found = truth_of(tmp_path, numbers, ignore=2)
    np.testing.assert_array_equal(found["mask"], [[0, 1, 255, 255]])
    np.testing.assert_array_equal(found["valid"], [[True, True, False, False]])
    masks = np.array([[[0, 1, 7]], [[1, 7, 0]]], np.uint8)
    found = truth_of(tmp_path, masks, ignore=7)
    np.testing.assert_array_equal(found["mask"], [[[0, 1, 0]], [[1, 0, 0]]])
    np.testing.assert_array_equal(found["valid"], [[True, False, False]])
    depth = np.array([[0.5, np.nan, np.inf, -1]], np.float32)
    found = truth_of(tmp_path, depth)
    np.testing.assert_array_equal(found["mask"], np.array([[0.5, 0, 0, -1]], np.float32))
    np.testing.assert_array_equal(found["valid"], [[True, False, False, True]])


def test_ids_are_no_class_numbers(tmp_path):
    ids = np.array([[0, 1, 255, 300]])
    np.testing.assert_array_equal(truth_of(tmp_path, ids.astype(np.int32))["mask"], ids)
    with pytest.raises(ValueError, match=r"a\.npy has value 300 as int64, the type of class numbers"):
        truth_of(tmp_path, ids)
    with pytest.raises(ValueError, match=r"a\.npy is \(1, 1, 4\), class numbers must be \(H, W\)"):
        truth_of(tmp_path, ids[None], classes=3)

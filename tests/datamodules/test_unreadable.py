"""Files that cannot be read, among those of a test set."""

import numpy as np
import pytest

from datamodules import DicomDataModule, ImageDataModule, SatelliteDataModule
from datamodules.dataset import EvaluationDataset
from datamodules.readers import DicomReadError, ImageReader, ImageReadError


def samples(data):
    """What `predict` would see of the test images, by id."""
    data.predict_split = ["test"]
    dataset = data.predict_dataloader()[0].dataset
    assert isinstance(dataset, EvaluationDataset)
    return {dataset.rows[number].image_id: dataset[number] for number in range(len(dataset))}


def test_a_damaged_dicom_file_keeps_its_row(tmp_path):
    pytest.importorskip("pydicom")
    from tests.datamodules.test_dicom import save

    pixels = np.random.default_rng(0).integers(0, 900, (12, 14)).astype(np.uint16)
    save(tmp_path / "ok.dcm", pixels)
    (tmp_path / "junk.dcm").write_bytes(b"\0" * 300)
    whole = (tmp_path / "ok.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-50])
    arguments = {"images": "*.dcm", "targets": [], "test_images": "*.dcm", "fold": "all"}
    data = DicomDataModule(str(tmp_path), **arguments, unreadable="empty")
    assert data.split_table("test")["image_id"].tolist() == ["cut", "junk", "ok"]
    assert data.sizes("test") == dict.fromkeys(["cut", "junk", "ok"], (12, 14))
    found = samples(data)
    assert found["ok"]["unreadable"] == ""
    assert found["ok"]["image"].any()
    for name in ("cut", "junk"):
        assert f"{name}.dcm" in found[name]["unreadable"]
        assert found[name]["image"].dtype == found["ok"]["image"].dtype
        assert found[name]["image"].shape == found["ok"]["image"].shape
        assert not found[name]["image"].any()
    with pytest.raises(DicomReadError, match="junk.dcm"):
        data.table()  # training images are never passed over
    with pytest.raises(DicomReadError, match="junk.dcm"):
        DicomDataModule(str(tmp_path), **arguments).test_table()


def test_a_damaged_tiff_is_as_large_as_its_header_says(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    random = np.random.default_rng(0)
    for name, size in (("a", (64, 64)), ("b", (200, 300))):
        profile = {"driver": "GTiff", "count": 4, "height": size[0], "width": size[1], "dtype": "uint16"}
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as target:
            target.write(random.integers(1, 900, (4, *size)).astype(np.uint16))
    whole = (tmp_path / "b.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[: len(whole) // 2])
    data = SatelliteDataModule(str(tmp_path), "*.tif", [], test_images="*.tif", fold="all", unreadable="empty")
    found = samples(data)
    assert "b.tif" in found["b"]["unreadable"]
    assert found["b"]["image"].shape == (4, 200, 300)
    assert not found["b"]["image"].any()
    assert data.sizes("test") == {"a": (64, 64), "b": (200, 300)}


def test_nothing_changes_unless_asked_for(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    data = ImageDataModule(str(tmp_path), "*.png", [], test_images="*.png", fold="all", reader=ImageReader("gray"))
    data.predict_split = ["test"]
    with pytest.raises(ImageReadError, match="a.png is empty"):
        data.predict_dataloader()[0].dataset[0]
    with pytest.raises(ImageReadError, match="a.png is empty"):
        data.sizes("test")

"""E03: photographs without a licence are an error, edited ones and those of other cameras are left out."""

import csv

import numpy as np
import pytest
from PIL import Image

from datamodules.external import LicencedPhotos
from datamodules.external.photos import MODEL, SOFTWARE, jpeg_quality


def save(root, name, quality=96, model="LG-D855", software=None, size=(64, 48)):
    exif = Image.Exif()
    exif[MODEL] = model
    if software:
        exif[SOFTWARE] = software
    pixels = np.random.default_rng(len(name)).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(root / name, quality=quality, exif=exif)


def manifest(root, *rows):
    with open(root / "manifest.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("file", "licence", "label"), *rows])


@pytest.fixture
def root(tmp_path):
    with open(tmp_path / "map.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(
            [("model", "label", "size"), ("lg-d855", "LG-Nexus-5x", "48x64"), ("iPhone 6", "iP6", "64x48")]
        )
    return tmp_path


def test_what_passes_and_why_the_rest_does_not(root):
    save(root, "good.jpg")
    save(root, "firmware.jpg", model="iPhone 6", software="9.3.2")
    save(root, "edited.jpg", software="Adobe Photoshop CS6")
    save(root, "other.jpg", model="Canon EOS 5D")
    save(root, "coarse.jpg", quality=85)
    save(root, "small.jpg", size=(32, 24))
    names = ["good", "firmware", "edited", "other", "coarse", "small"]
    manifest(root, *((f"{name}.jpg", "CC-BY-2.0", "") for name in names))
    table = LicencedPhotos(
        str(root), exif_model="map.csv", size_column="size", report=str(root / "dropped.csv")
    ).table()
    assert dict(zip(table["image_id"], table["label"], strict=True)) == {
        "photos-good": "LG-Nexus-5x",
        "photos-firmware": "iP6",
    }
    assert set(table["licence"]) == {"CC-BY-2.0"}
    reasons = dict(list(csv.reader(open(root / "dropped.csv")))[1:])
    assert "Photoshop" in reasons["edited.jpg"]
    assert "Canon" in reasons["other.jpg"]
    assert reasons["coarse.jpg"] == "JPEG quality 85"
    assert "not the camera's" in reasons["small.jpg"]
    assert len(reasons) == 4


def test_a_row_without_a_licence_is_an_error(root):
    save(root, "good.jpg")
    manifest(root, ("good.jpg", "CC0", "a"), ("bad.jpg", " ", "a"))
    with pytest.raises(ValueError, match=r"row 3: 'bad.jpg' has no licence"):
        LicencedPhotos(str(root)).table()
    with open(root / "manifest.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("file", "label"), ("good.jpg", "a")])
    with pytest.raises(ValueError, match="no column 'licence'"):
        LicencedPhotos(str(root)).table()


def test_labels_of_the_manifest_and_a_path_that_leads_out(root):
    (root / "sub").mkdir()
    save(root, "sub/good.jpg")
    manifest(root, ("sub/good.jpg", "CC0", "a"))
    assert LicencedPhotos(str(root)).table()["image_id"].tolist() == ["photos-sub_good"]
    manifest(root, ("../good.jpg", "CC0", "a"))
    with pytest.raises(ValueError, match=r"\.\."):
        LicencedPhotos(str(root)).table()


def test_nothing_passes(root):
    save(root, "edited.jpg", software="GIMP 2.8")
    manifest(root, ("edited.jpg", "CC0", "a"))
    with pytest.raises(ValueError, match="all 1 photographs are dropped.*GIMP"):
        LicencedPhotos(str(root)).table()


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 93, 95, 100])
def test_quality_of_a_real_jpeg(root, quality):
    save(root, "one.jpg", quality=quality)
    with Image.open(root / "one.jpg") as picture:
        assert jpeg_quality(picture.quantization) == quality

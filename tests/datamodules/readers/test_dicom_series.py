"""DICOM series as volumes: order, place and density."""

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from datamodules.readers import DicomReadError
from datamodules.readers.base import ImageReadError
from datamodules.readers.dicom_series import read_series
from datamodules.readers.volumes import read_grid
from tests.datamodules.readers.test_dicom import read, save

AXIAL = [1, 0, 0, 0, 1, 0]


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
    with pytest.raises(DicomReadError, match="same position"):
        read_series([*files, double])
    with pytest.raises(ImageReadError, match=r"6\.dcm and .*again\.dcm have the same position"):
        read_grid([*files, double])  # from headers alone, before any training


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

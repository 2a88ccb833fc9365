"""E04: tinted JPEGs of the Human Protein Atlas become the competition's four channels."""

import csv

import numpy as np
import pytest
from PIL import Image

from datamodules.external import HpaV18
from datamodules.external.hpa_v18 import CLASSES
from datamodules.readers.images import read_picture
from datamodules.table import rows_of
from datamodules.targets import Labels


@pytest.fixture
def root(tmp_path):
    random = np.random.default_rng(0)
    for colour in ("red", "green", "blue", "yellow"):
        Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).save(tmp_path / f"1_A1_1_{colour}.jpg")
    return tmp_path


def labels(root, text):
    with open(root / "labels.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("Id", "Target"), ("1_A1_1", text)])


def test_planes_are_those_of_the_sources(root):
    labels(root, "Cytosol,Nucleoplasm, rods & rings")
    data = HpaV18(str(root))
    table = data.table()
    image = data.reader.read(rows_of(table)[0])
    assert image.shape == (24, 32, 4)
    for place, (colour, plane) in enumerate([("red", 0), ("green", 1), ("blue", 2), ("yellow", 2)]):
        np.testing.assert_array_equal(image[..., place], read_picture(root / f"1_A1_1_{colour}.jpg")[..., plane])
    assert table["Target"].tolist() == ["0 25 27"]


def test_channels_in_another_order_and_plane(root):
    labels(root, "Cytosol")
    data = HpaV18(str(root), channels=["yellow", "green"], planes={"yellow": 0})
    image = data.reader.read(rows_of(data.table())[0])
    np.testing.assert_array_equal(image[..., 0], read_picture(root / "1_A1_1_yellow.jpg")[..., 0])
    np.testing.assert_array_equal(image[..., 1], read_picture(root / "1_A1_1_green.jpg")[..., 1])


def test_unknown_names_are_listed_and_can_be_mapped(root):
    labels(root, "Cytosol,Vesicles,Midbody")
    with pytest.raises(
        ValueError, match=r"2 names are not in the competition.*'midbody' \(1_A1_1\), 'vesicles' \(1_A1_1\)"
    ):
        HpaV18(str(root)).table()
    mapped = HpaV18(str(root), class_map={"Midbody": "Cytokinetic bridge", "Vesicles": ""}).table()
    assert mapped["Target"].tolist() == ["16 25"]


def test_the_competitions_target_reads_it(root):
    labels(root, "Cytosol,Nucleoplasm")
    table = HpaV18(str(root)).table()
    target = Labels("Target", csv="train.csv", id_column="Id", kind="multi", classes=28)
    target.from_columns(list(table.columns))
    target.prepare(table, root)
    label = target.read(rows_of(table)[0], (24, 32))["label"]
    assert np.flatnonzero(label).tolist() == [0, 25]


def test_the_classes_are_the_competitions():
    assert len(set(CLASSES)) == 28
    assert CLASSES[15] == "Microtubule ends"
    assert CLASSES[27] == "Rods & rings"

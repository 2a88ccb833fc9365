"""E02: what four radiologists outlined and judged in LIDC-IDRI."""

import json

import numpy as np
import pytest

from datamodules.external import Lidc
from datamodules.external.lidc import agreement, read_readings
from datamodules.readers import VolumeReader
from datamodules.table import rows_of
from tests.datamodules.test_volumes import write_slices

pytest.importorskip("pydicom", reason="pydicom is not installed")

AFFINE = np.array([[0, 0, -0.7, 170.0], [0, -0.8, 0, 150], [2.5, 0, 0, -300], [0, 0, 0, 1]])


def square(z, low, high, inside="TRUE"):
    corners = [(low, low), (high, low), (high, high), (low, high), (low, low)]
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in corners)
    return f"<roi><imageZposition>{z}</imageZposition><inclusion>{inside}</inclusion>{edges}</roi>"


def message(*sessions):
    """An XML of the release: a session per reader, of `(nodule, malignancy or None, contours)`."""
    text = ""
    for session in sessions:
        text += "<readingSession>"
        for nodule, malignancy, contours in session:
            traits = f"<characteristics><subtlety>3</subtlety><malignancy>{malignancy}</malignancy></characteristics>"
            text += f"<unblindedReadNodule><noduleID>{nodule}</noduleID>{traits if malignancy else ''}"
            text += "".join(contours) + "</unblindedReadNodule>"
        text += "<nonNodule><nonNoduleID>1</nonNoduleID></nonNodule></readingSession>"
    return f'<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov">{text}</LidcReadMessage>'


def write(root, xml):
    folder = root / "LIDC-IDRI-0001/1.2/1.3"
    if not folder.exists():
        scan = np.full((6, 32, 32), -800, np.int16)
        write_slices(folder, scan, [f"{number}.dcm" for number in range(6)], AFFINE)
    (folder / "158.xml").write_text(xml)
    return folder


def nodule(name, malignancy, low=8, high=16):
    return name, malignancy, [square(-295.0, low, high), square(-292.5, low, high)]


def test_four_readers_give_four_readings(tmp_path):
    write(tmp_path, message(*([nodule(f"n{reader}", value)] for reader, value in enumerate([5, 4, 4, 2]))))
    table = Lidc(str(tmp_path)).table()
    assert len(table) == 1
    readings = json.loads(table["readings"][0])
    assert [entry["reader"] for entry in readings] == [0, 1, 2, 3]
    assert [entry["malignancy"] for entry in readings] == [5, 4, 4, 2]
    assert float(table["malignancy"][0]) == 3.75
    assert table["malignancy_max"][0] == "5"
    assert table["image_id"][0].startswith("lidc-LIDC-IDRI-0001")


def test_a_reader_is_missing_and_a_nodule_has_no_judgement(tmp_path):
    small = ("n2", None, ["<roi><imageZposition>-295.0</imageZposition><inclusion>TRUE</inclusion>"
                          "<edgeMap><xCoord>3</xCoord><yCoord>4</yCoord></edgeMap></roi>"])  # fmt: skip
    write(tmp_path, message([nodule("n0", 4)], [], [small]))
    table = Lidc(str(tmp_path)).table()
    readings = json.loads(table["readings"][0])
    assert [entry["reader"] for entry in readings] == [0, 2]
    assert "malignancy" not in readings[1]
    assert float(table["malignancy"][0]) == 4


def test_nobody_saw_anything(tmp_path):
    write(tmp_path, message([], [], [], []))
    table = Lidc(str(tmp_path)).table()
    assert table["malignancy"].tolist() == [""]


@pytest.mark.parametrize("axcodes", [None, "RAS", "LPS"])
def test_voxels_that_enough_readers_outlined(tmp_path, axcodes):
    """Contours lie outside the nodule: a square from 8 to 16 holds 7 x 7 pixels."""
    sessions = ([nodule("a", 3)], [nodule("b", 3)], [nodule("c", 3, 11, 20)], [])
    write(tmp_path, message(*sessions))
    data = Lidc(str(tmp_path))
    [row], reader, [target] = rows_of(data.table()), VolumeReader(axcodes), data.targets
    target.follow(reader)
    mask = target.read(row, reader.size(row))["mask"]
    assert mask.shape == (1, 6, 32, 32)
    assert mask.sum() == 2 * 7 * 7
    places = np.argwhere(mask[0])
    if axcodes is None:  # slices from the feet up, as the positions say
        assert places.min(axis=0).tolist() == [2, 9, 9]
        assert places.max(axis=0).tolist() == [3, 15, 15]
    target.readers = 3
    assert target.read(row, reader.size(row))["mask"].sum() == 2 * 4 * 4  # 12 … 15 in both directions


def test_holes_are_cut_and_never_into_another_nodule():
    readings = [
        {"reader": 0, "contours": [[-300.0, True, json.loads("[[2,2],[20,2],[20,20],[2,20]]")],
                                   [-300.0, False, json.loads("[[5,5],[10,5],[10,10],[5,10]]")]]},
        {"reader": 0, "contours": [[-300.0, True, json.loads("[[6,6],[9,6],[9,9],[6,9]]")]]},
    ]  # fmt: skip
    votes = agreement(readings, (6, 32, 32), AFFINE)
    assert votes.max() == 1
    assert votes[0, 3, 3] == 1
    assert votes[0, 6, 6] == 0
    assert votes[0, 7, 7] == 1  # the small nodule in the hole


def test_bad_input(tmp_path):
    (tmp_path / "a.xml").write_text("<IdriReadMessage/>")
    with pytest.raises(ValueError, match="expected <LidcReadMessage>"):
        read_readings(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_text("<LidcRead")
    with pytest.raises(ValueError, match="not XML"):
        read_readings(tmp_path / "a.xml")
    with pytest.raises(ValueError, match="z = 0.0 mm"):
        agreement([{"reader": 0, "contours": [[0.0, True, [[1, 1], [5, 5], [1, 5]]]]}], (6, 32, 32), AFFINE)
    (tmp_path / "a.xml").unlink()
    with pytest.raises(FileNotFoundError, match="check root"):
        Lidc(str(tmp_path)).table()

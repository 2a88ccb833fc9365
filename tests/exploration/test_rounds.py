"""New labels are checked, and appear with their round in the next training table."""

import numpy as np
import pytest
from PIL import Image

from datamodules import ImageDataModule
from datamodules.table import rows_of
from datamodules.targets import MaskFiles
from exploration.rounds import import_labels, read_rounds


@pytest.fixture
def data(tmp_path):
    """Six images; `labels/` holds new masks of two."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        Image.fromarray(np.full((20 + number, 30), number, np.uint8)).save(tmp_path / "images" / f"i{number}.png")
    for number in (2, 4):
        Image.fromarray(np.zeros((20 + number, 30), np.uint8)).save(tmp_path / "labels" / f"i{number}.png")
    return ImageDataModule(str(tmp_path), "images/*.png", [MaskFiles("labels/{image_id}.png")])


def take(data, number, folder="labels"):
    root = data.root
    rows = {row.image_id: row for row in rows_of(data.find(root, data.images, "train"))}
    return import_labels(f"{root}/{folder}", number, f"{root}/rounds.csv", rows, data.reader.size, list(rows))


def test_imported_labels_appear_in_the_training_table_with_their_round(data):
    take(data, 2)
    data.metadata = "rounds.csv"
    rounds = data.table().set_index("image_id")["round"]
    assert rounds.to_dict() == {"i0": "0", "i1": "0", "i2": "2", "i3": "0", "i4": "2", "i5": "0"}


def test_a_later_round_extends_the_file_and_the_same_round_may_come_again(data, tmp_path):
    take(data, 1)
    (tmp_path / "more").mkdir()
    Image.fromarray(np.zeros((21, 30), np.uint8)).save(tmp_path / "more" / "i1.png")
    take(data, 2, "more")
    take(data, 2, "more")
    assert read_rounds(tmp_path / "rounds.csv").set_index("image_id")["round"].to_dict() == {
        "i0": 0, "i1": 2, "i2": 1, "i3": 0, "i4": 1, "i5": 0,
    }  # fmt: skip


def test_every_label_that_does_not_fit_is_named_and_nothing_is_written(data, tmp_path):
    take(data, 1)
    before = (tmp_path / "rounds.csv").read_bytes()
    (tmp_path / "bad").mkdir()
    Image.fromarray(np.zeros((9, 30), np.uint8)).save(tmp_path / "bad" / "i0.png")
    Image.fromarray(np.zeros((21, 30), np.uint8)).save(tmp_path / "bad" / "i1.png")
    Image.fromarray(np.zeros((21, 30), np.uint8)).save(tmp_path / "bad" / "i1.tif")
    Image.fromarray(np.zeros((22, 30), np.uint8)).save(tmp_path / "bad" / "i2.png")
    (tmp_path / "bad" / "i3.png").write_bytes(b"")
    (tmp_path / "bad" / "nobody.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="nothing was written") as error:
        take(data, 2, "bad")
    text = str(error.value)
    assert text.startswith("5 of 6 label files")
    for part in ("is 9 x 30, its image 20 x 30", "another label", "round 1", "0 bytes", "no image has this id"):
        assert part in text
    assert (tmp_path / "rounds.csv").read_bytes() == before


def test_no_files_or_no_round(data, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="no label files"):
        take(data, 1, "none")
    with pytest.raises(ValueError, match="expected >= 1"):
        take(data, 0)
    (tmp_path / "rounds.csv").write_text("image_id,round\ni0,one\n")
    with pytest.raises(ValueError, match="row 2: round is 'one'"):
        take(data, 1)

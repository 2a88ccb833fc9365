"""E05: IDRiD's grades beside APTOS."""

import csv

import numpy as np
import pytest
from PIL import Image

from datamodules import ImageDataModule
from datamodules.external import Idrid
from datamodules.targets import Labels
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, write_folds

HEADER = ("Image name", "Retinopathy grade", "Risk of macular edema ")


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(list(path.parent.iterdir()))).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    """The exact layout: training and test set number their pictures alike, the table ends in empty rows and columns."""
    grades = {"Training": [4, 0, 2], "Testing": [1, 3]}
    for letter, (side, values) in zip("ab", grades.items(), strict=True):
        long = f"{letter}. {side} Set"
        rows = [(f"IDRiD_{number:03}", grade, 1, "", "") for number, grade in enumerate(values, 1)]
        for name, *_ in rows:
            save(tmp_path / "B" / "1. Original Images" / long / f"{name}.jpg")
        table = tmp_path / "B/2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{side} Labels.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        with open(table, "w", newline="") as handle:
            csv.writer(handle).writerows([(*HEADER, "", ""), *rows, ("", "", "", "", "")])
    return tmp_path / "B"


def test_grades_of_both_sides(root):
    table = Idrid(str(root), label_map={"4": "3"}).table()
    assert dict(zip(table["image_id"], table["diagnosis"], strict=True)) == {
        "idrid-train_IDRiD_001": "3",
        "idrid-train_IDRiD_002": "0",
        "idrid-train_IDRiD_003": "2",
        "idrid-test_IDRiD_001": "1",
        "idrid-test_IDRiD_002": "3",
    }
    assert set(table["weight"]) == {0.5}


def test_beside_aptos(root, tmp_path):
    own = tmp_path / "aptos"
    for number in range(4):
        save(own / f"train_images/{number}.png")
    with open(own / "train.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("id_code", "diagnosis"), *((number, number) for number in range(4))])
    module = ImageDataModule(
        str(own),
        "train_images/*.png",
        targets=[Labels("diagnosis", csv="train.csv", id_column="id_code", classes=5)],
        folds=str(tmp_path / "folds.csv"),
        external=[Idrid(str(root))],
        batch_size=7,
        num_workers=0,
    )
    cv = CrossValidation(k=2)
    write_folds(make_folds(module.fold_table(cv), cv), tmp_path / "folds.csv")
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    labels = dict(zip(batch["image_id"], batch["label"].tolist(), strict=True))
    assert len(labels) == 2 + 5
    assert labels["idrid-train_IDRiD_001"] == 4
    assert not [i for batch in module.val_dataloader() for i in batch["image_id"] if i.startswith("idrid")]


def test_bad_input(root, tmp_path):
    save(root / "1. Original Images/a. Training Set/IDRiD_099.jpg")
    with pytest.raises(ValueError, match="no grade; the first is 'train IDRiD_099'"):
        Idrid(str(root)).table()
    with pytest.raises(ValueError, match="no column 'grade'"):
        Idrid(str(root), grade="grade").table()
    with pytest.raises(FileNotFoundError, match="check root"):
        Idrid(str(tmp_path / "nowhere")).table()

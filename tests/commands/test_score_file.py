"""`score FILE`: what the competition would refuse has no score, and the first line says which row it is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli

SIDE = 8
# competition, rows of a good file, what may be wrong with it: rows -> what is said
NUCLEI = {
    "metric": {"class_path": "evaluation.metrics.InstanceAveragePrecision"},
    "submission": {"class_path": "submissions.InstanceRunLengths"},
}
TYPES = {
    "metric": {"class_path": "evaluation.metrics.LogLoss"},
    "submission": {
        "class_path": "submissions.ClassColumns",
        "init_args": {"classes": ["Type_1", "Type_2"], "suffix": ".png"},
    },
}
GOOD = {
    "nuclei": (NUCLEI, ["ImageId,EncodedPixels", "a,1 3", "a,9 3", "b,", "c,20 4"], "1.0000"),
    "types": (TYPES, ["image_name,Type_1,Type_2", "a.png,1,0", "b.png,0,1", "c.png,1,0"], "0.0000"),
}
WRONG = {
    "nuclei": [
        (lambda rows: [*rows, rows[1]], "row 6: image 'a' is repeated after other images"),
        (lambda rows: [*rows[:2], rows[1], *rows[3:]], "row 3, image 'a': .*overlaps"),
        (lambda rows: [*rows[:3], *rows[4:]], "has no row for 1 of 3 images of truth.csv, first 'b'"),
        (lambda rows: [*rows, "x,1 3"], "row 6: image 'x' is unknown"),
        (lambda rows: [*rows[:4], "c,nan"], "row 5, image 'c': "),
        (lambda rows: [*rows[:4], "c,60 6"], "row 5, image 'c': .*exceeds the mask"),
        (lambda rows: [*rows[:4], "c,5 4 7 2"], "row 5, image 'c': .*starts inside or before"),
        (lambda rows: ["ImageId,Pixels", *rows[1:]], r"columns are \['ImageId', 'Pixels'\]"),
        (lambda rows: rows[:1], "has no row for 3 of 3 images"),
        (lambda rows: [], "s.csv is empty"),
    ],
    "types": [
        (
            lambda rows: [*rows[:2], *rows[1:]],
            "row 3: image 'a.png, .*has a second row|row 3: image 'a.png' has a second",
        ),
        (lambda rows: [*rows, rows[1]], "row 5: image 'a.png' is repeated"),
        (lambda rows: rows[:3], "has no row for 1 of 3 images of truth.csv, first 'c'"),
        (lambda rows: [*rows[:3], "c.png,nan,0"], "row 4, image 'c': Type_1 is nan"),
        (lambda rows: [*rows[:3], "c.png,2,0"], "row 4, image 'c': Type_1 is 2"),
        (lambda rows: [*rows[:3], "c.jpg,1,0"], "row 4: id 'c.jpg' does not end in '.png'"),
        (lambda rows: [*rows, "x.png,1,0"], "row 5: image 'x' is unknown"),
    ],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in "abc":
        cv2.imwrite(f"data/{name}.png", np.zeros((SIDE, SIDE), np.uint8))
    pd.DataFrame({"image_id": list("abc"), "fold": [0, 1, 0], "group": list("abc")}).to_csv("folds.csv", index=False)


def score(kind, rows):
    competition, good, _ = GOOD[kind]
    data = {"root": "data", "images": "*.png", "test_images": "*.png", "folds": "folds.csv", "targets": []}
    module = {"class_path": "datamodules.ImageDataModule", "init_args": data}
    Path("c.yaml").write_text(yaml.safe_dump({"data": module, "competition": competition}))
    Path("truth.csv").write_text("\n".join(good) + "\n")
    Path("s.csv").write_text("".join(f"{row}\n" for row in rows))
    cli.main(["score", "s.csv", "--config", "c.yaml", "--solution", "truth.csv"])


@pytest.mark.parametrize("kind", list(GOOD))
def test_the_truth_itself_is_right(here, kind, capsys):
    score(kind, GOOD[kind][1])
    assert f" {GOOD[kind][2]} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "place"), [(kind, place) for kind, cases in WRONG.items() for place in range(len(cases))]
)
def test_a_wrong_file_is_refused_with_its_row(here, kind, place, capsys):
    change, message = WRONG[kind][place]
    with pytest.raises((ValueError, SystemExit), match=message):
        score(kind, change(GOOD[kind][1]))
    assert "score (" not in capsys.readouterr().out


CLASS_MAPS = {
    "metric": {"class_path": "evaluation.IoUGlobal", "init_args": {"classes": 3}},
    "submission": {"class_path": "submissions.ClassImages", "init_args": {"classes": 3}},
}
BOXES = {
    "metric": {"class_path": "evaluation.BoxAveragePrecision", "init_args": {"classes": 1, "threshold": 0.5}},
    "submission": {"class_path": "submissions.Coco", "init_args": {"file": "truth.json"}},
}


def config(competition):
    data = {"root": "data", "images": "*.png", "test_images": "*.png", "folds": "folds.csv", "targets": []}
    module = {"class_path": "datamodules.ImageDataModule", "init_args": data}
    Path("c.yaml").write_text(yaml.safe_dump({"data": module, "competition": competition}))


def test_folders_of_class_images_are_scored(here, capsys):
    config(CLASS_MAPS)
    rng = np.random.default_rng(0)
    counts = np.zeros((3, 3), int)
    for folder in ("found", "truth"):
        Path(folder).mkdir()
    for name in "abc":
        found, true = rng.integers(0, 3, (2, SIDE, SIDE))
        cv2.imwrite(f"found/{name}.png", found)
        cv2.imwrite(f"truth/{name}.png", true)
        np.add.at(counts, (found, true), 1)
    cli.main(["score", "found", "--config", "c.yaml", "--solution", "truth"])
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    assert f"found: score (IoUGlobal) {iou.mean():.4f} " in capsys.readouterr().out


def test_coco_results_are_scored_also_for_images_without_any(here, capsys):
    """Half of the objects found, first; an image without results counts."""
    config(BOXES)
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("abc", 1)]
    objects = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 4, 4]} for n in (1, 2)]
    content = {"images": images, "categories": [{"id": 1, "name": "cell"}], "annotations": objects}
    Path("truth.json").write_text(json.dumps(content))
    Path("s.json").write_text(json.dumps([objects[0] | {"score": 0.9}]))
    cli.main(["score", "s.json", "--config", "c.yaml", "--solution", "truth.json"])
    assert "s.json: score (BoxAveragePrecision) 0.5000 " in capsys.readouterr().out
    Path("s.json").write_text(json.dumps([objects[0] | {"score": 0.9, "image_id": 4}]))
    with pytest.raises(ValueError, match="result 0: image_id 4 is not among the 3 images"):
        cli.main(["score", "s.json", "--config", "c.yaml", "--solution", "truth.json"])

"""Pseudo-labels as rows: only those of the fold's own teacher, and probabilities in place of hard labels."""

import json

import numpy as np
import pandas as pd
import pytest

from datamodules.external import PseudoLabels, SoftLabels
from datamodules.external.pseudo import SOFT, PseudoArrays, of_classes
from datamodules.row import row_with
from evaluation.folds import folds_hash, read_folds


@pytest.fixture
def labels(tmp_path):
    """Labels for the folds 0 and 1 of a folds file; fold 2 has none."""
    folds = tmp_path / "folds.csv"
    folds.write_text("image_id,fold\n" + "".join(f"p{number},{number % 3}\n" for number in range(6)))
    root = tmp_path / "pseudo"
    root.mkdir()
    entries = {}
    for fold in (0, 1):
        table = pd.DataFrame({"image_id": ["u", "v"], "path": ["u.png", "v.png"], "labels": ["u.npz", "v.npz"]})
        table.assign(weight=[0.5, 1.0]).to_csv(root / f"{fold}.csv", index=False)
        entries[str(fold)] = {"folds_hash": folds_hash(read_folds(folds)), "table": f"{fold}.csv"}
    (root / "manifest.json").write_text(json.dumps({"folds": entries}))
    return root, folds


def test_rows_are_those_of_the_fold_with_both_weights(labels):
    root, folds = labels
    table = PseudoLabels(str(root), 0.4, "more", 1, str(folds)).table()
    assert table["image_id"].tolist() == ["more-u", "more-v"]
    assert table["weight"].tolist() == pytest.approx([0.2, 0.4])
    assert set(table["source"]) == {"more"}
    assert table["labels"].tolist() == [str(root / "u.npz"), str(root / "v.npz")]


def test_labels_of_a_teacher_that_saw_the_fold_are_refused(labels):
    root, folds = labels
    with pytest.raises(ValueError, match="fold is not set"):
        PseudoLabels(str(root), folds=str(folds)).table()
    with pytest.raises(ValueError, match=r"no labels for training fold 2, only for \['0', '1'\]"):
        PseudoLabels(str(root), fold=2, folds=str(folds)).table()
    folds.write_text(folds.read_text().replace("p0,0", "p0,1"))
    with pytest.raises(ValueError, match="was made with other folds than"):
        PseudoLabels(str(root), fold=0, folds=str(folds)).table()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json does not exist"):
        PseudoLabels(str(root / "nowhere"), fold=0, folds=str(folds)).table()


def test_arrays_of_a_file_must_fit_the_image(tmp_path):
    path = tmp_path / "u.npz"
    np.savez(path, mask=np.ones((2, 4, 5), np.uint8), valid=np.ones((4, 5), bool), label=np.int64(2))
    row = row_with({"image_id": "u", "labels": str(path)})
    target = PseudoArrays()
    assert target.files(row) == [path]
    found = target.read(row, (4, 5))
    assert {name: array.shape for name, array in found.items()} == {"mask": (2, 4, 5), "valid": (4, 5), "label": ()}
    with pytest.raises(ValueError, match=r"u\.npz: mask is \(2, 4, 5\), its image 'u' is \(5, 4\)"):
        target.read(row, (5, 4))


def test_a_mask_with_probabilities_gets_them_and_one_without_gets_its_own():
    target = SoftLabels(["mask"])
    steps = np.array([[[0, 51, 255]]], np.uint8)
    soft = target.derive({"mask": (steps > 100).astype(np.uint8), "mask" + SOFT: steps})
    np.testing.assert_allclose(soft["mask"], steps / 255, rtol=1e-6)
    hard = target.derive({"mask": np.array([[[0, 1, 1]]], np.uint8)})
    assert hard["mask" + SOFT].tolist() == [[[0, 255, 255]]]
    assert target.derive({"other": steps}) == {}


def test_class_numbers_become_probabilities_that_sum_to_one():
    number = np.array([[0, 2, 255], [1, 255, 1]], np.int64)
    soft = np.zeros((3, 2, 3), np.uint8)
    soft[:, 0, 0] = 100, 100, 54  # steps whose sum is not 255
    soft[:, 1, 1] = 0, 0, 200  # the class is unknown, the probabilities are not
    found = of_classes("mask", 3, {"mask": number, "mask" + SOFT: soft})
    assert found["valid"].tolist() == [[True, True, False], [True, True, True]]
    np.testing.assert_allclose(found["mask"][:, 0, 0], np.array([100, 100, 54]) / 254, rtol=1e-6)
    assert found["mask"][:, 1, 1].tolist() == [0, 0, 1]
    assert found["mask"][:, 0, 1].tolist() == [0, 0, 1]  # where the teacher said nothing
    assert found["mask"][:, 0, 2].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found["mask"].sum(0), found["valid"], rtol=1e-6)
    alone = of_classes("label", 3, {"label": np.int64(1)})
    assert alone["label"].tolist() == [0, 1, 0]
    assert alone["label"].dtype == np.float32


def test_unknown_pixels_of_sample_and_class_are_joined():
    target = SoftLabels([], {"mask": 2})
    number, valid = np.array([[0, 255, 1]], np.int64), np.array([[False, True, True]])
    assert target.derive({"mask": number, "valid": valid})["valid"].tolist() == [[False, False, True]]


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_that_does_not_exist_is_named(wrong):
    with pytest.raises(ValueError, match=f"'mask' has class {wrong}, expected 0 to 2"):
        of_classes("mask", 3, {"mask": np.array([[0, wrong]], np.int64)})

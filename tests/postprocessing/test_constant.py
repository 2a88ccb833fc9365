"""Answers that are the same for every image, and what `search` says of them."""

import numpy as np
import pytest

from evaluation import (
    BoxAveragePrecision,
    DicePerImage,
    InstanceAveragePrecision,
    IoUGlobal,
    LogLoss,
    MaskAveragePrecision,
)
from postprocessing import ArgMax, MinimumScore, Threshold
from postprocessing.constant import ConstantAnswer, constant_answers, constant_value
from postprocessing.search import SearchImage, search


def images(predictions, targets):
    return [
        SearchImage(f"{number:03d}", lambda one=one: one, lambda true=true: true)
        for number, (one, true) in enumerate(zip(predictions, targets, strict=True))
    ]


def blobs(rng, count, empty):
    """Masks of which a share is empty, and a probability map that knows nothing."""
    targets, predictions = [], []
    for number in range(count):
        mask = np.zeros((1, 12, 12), np.uint8)
        if number >= empty * count:
            mask[0, 2:8, 3:9] = 1
        targets.append({"mask": mask})
        predictions.append({"mask": rng.uniform(0.3, 0.7, (1, 12, 12)).astype(np.float32)})
    return predictions, targets


def test_a_search_that_ends_in_all_empty_says_so():
    predictions, targets = blobs(np.random.default_rng(0), 20, 0.6)
    result = search([Threshold(0.5)], DicePerImage(), images(predictions, targets), processes=1)
    assert result.steps[0].value > 0.7  # above all probabilities: nothing is left
    assert result.majority == ("all empty", pytest.approx(0.6))
    assert result.in_sample == pytest.approx(0.6)
    assert "majority      0.60000  (the answer 'all empty' for every image)" in result.summary()
    assert "warning: the chain scores no better than the answer 'all empty'" in result.summary()
    full = [{"mask": np.ones((1, 12, 12), np.uint8)} for _ in range(20)]
    assert search([Threshold(0.5)], DicePerImage(), images(predictions, full), processes=1).majority[0] == "all full"


def test_a_chain_that_knows_something_is_not_warned_of():
    _, targets = blobs(np.random.default_rng(0), 20, 0.6)
    predictions = [{"mask": target["mask"] * np.float32(0.6)} for target in targets]
    result = search([Threshold(0.5)], DicePerImage(), images(predictions, targets), processes=2)
    assert result.majority == ("all empty", pytest.approx(0.6))
    assert "warning" not in result.summary()


def test_class_maps_are_compared_with_the_best_class():
    rng = np.random.default_rng(0)
    true = [rng.choice(3, (10, 10), p=[0.2, 0.7, 0.1]) for _ in range(6)]
    maps = [{"mask": rng.dirichlet(np.ones(3), (10, 10)).transpose(2, 0, 1).astype(np.float32)} for _ in true]
    targets = [{"mask": array.astype(np.int64)} for array in true]
    for steps in ([], [ArgMax("mask")]):
        result = search(steps, IoUGlobal(classes=3), images(maps, targets), processes=1)
        share = np.mean([array == 1 for array in true])
        assert result.majority == ("all class 1", pytest.approx(share / 3))


def test_boxes_instances_and_probabilities():
    boxes = [{"boxes": np.array([[0, 0, 5, 5, 0.5, 0]], np.float32)}] * 2
    true = [{"boxes": np.array([[0, 0, 5, 5]], np.float32), "labels": np.array([0])}] * 2
    metric = BoxAveragePrecision(1, 0.5)
    assert search([MinimumScore()], metric, images(boxes, true), processes=1).constant == {"all empty": 0.0}
    ids = [{"instances": np.ones((4, 4), np.int32)}] * 2
    result = search([], InstanceAveragePrecision(), images(ids, ids), processes=1)
    assert set(result.constant) == {"all empty", "all full"}
    scored = [one | {"scores": np.ones((1, 2))} for one in ids]
    result = search([], MaskAveragePrecision(2), images(scored, scored), processes=1)
    assert "all class 1" not in result.constant  # numbers of instances are no classes
    labels = [{"label": np.array([0.4, 0.6], np.float32)}] * 2
    result = search([], LogLoss(), images(labels, [{"label": np.array(1)}] * 2), processes=1)
    assert result.constant == {}
    assert result.majority is None
    assert not result.barely_better


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.zeros((1, 3, 3), bool), "empty"),
        (np.ones((2, 3, 3), bool), "full"),
        (np.eye(3, dtype=bool)[None], None),
        (np.zeros((3, 3), np.int32), "empty"),
        (np.full((3, 3), 2), "full"),
        (np.zeros((0, 6), np.float32), "empty"),
        (np.ones((2, 6), np.float32), None),
        (np.full((1, 3, 3), 0.5, np.float32), None),
        (np.stack([np.full((3, 3), p, np.float32) for p in (0.2, 0.8)]), "full"),
        (np.array(3), None),
    ],
)
def test_what_is_constant(array, value):
    assert constant_value(array) == value


def test_only_answers_of_the_metric():
    assert list(constant_answers(DicePerImage())) == ["all empty", "all full"]
    assert len(constant_answers(IoUGlobal(classes=4))) == 4
    with pytest.raises(ValueError, match="has probabilities"):
        ConstantAnswer("mask")({"mask": np.zeros((1, 3, 3), np.float32)})

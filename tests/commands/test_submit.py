"""What `submit` says of the predictions it writes."""

import numpy as np

from commands.submit import ConstantPredictions
from submissions import Boxes, Points, RunLengths


def lines(submission, *predictions):
    counted = ConstantPredictions(submission)
    for prediction in predictions:
        assert counted.counted(prediction) is prediction
    return counted.lines()


def test_empty_and_full_predictions_are_told():
    empty, full = {"mask": np.zeros((1, 3, 3), bool)}, {"mask": np.ones((1, 3, 3), bool)}
    mixed = {"mask": np.eye(3, dtype=bool)[None]}
    assert lines(RunLengths(), empty, empty) == ["warning: 2 of 2 predictions are empty"]
    assert lines(RunLengths(), empty, full, mixed) == [
        "1 of 3 predictions are empty",
        "1 of 3 predictions are full",
    ]
    assert lines(RunLengths(), mixed) == []
    assert lines(Boxes(), {"boxes": np.zeros((0, 6), np.float32)}) == ["warning: 1 of 1 predictions are empty"]
    assert lines(Points(), {"mask": np.zeros((1, 3, 3), bool)}) == []

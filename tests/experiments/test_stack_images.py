"""What is learned of images, from each kind of truth."""

import numpy as np
import pytest

from experiments.stack_images import target_of


def numbers(*values):
    return [np.array(value) for value in values]


def test_class_numbers():
    target = target_of(numbers(0, 2, 1), 4)
    assert (target.kind, target.classes, target.values.tolist()) == ("class", 4, [0, 2, 1])
    assert target_of(numbers(0, 2, 1), None, True).classes == 3
    # one sigmoid for two classes
    target = target_of(numbers(0, 1, 1), 1)
    assert (target.kind, target.values.tolist()) == ("flags", [[0], [1], [1]])
    assert target_of(numbers(0, 4, 1), 1).kind == "number"  # grades by regression


def test_flags_grades_and_numbers():
    flags = target_of([np.array([1.0, 0.0]), np.array([1.0, 1.0])], 2)
    assert (flags.kind, flags.classes) == ("flags", 2)
    number = target_of([np.array([3.5]), np.array([0.0])], 1)
    assert (number.kind, number.classes) == ("number", 1)


def test_truths_that_do_not_fit_the_output_are_refused():
    with pytest.raises(ValueError, match="class 5, but the output has 4"):
        target_of(numbers(0, 5), 4)
    with pytest.raises(ValueError, match="expected class numbers 0, 1"):
        target_of(numbers(0, -1), 4)
    with pytest.raises(ValueError, match=r"the target has the shape \(3,\), the output \(2,\)"):
        target_of([np.zeros(3)], 2)
    with pytest.raises(ValueError, match="set --data_target to another"):
        target_of([np.zeros((1, 4, 4))], 2)
    with pytest.raises(ValueError, match="set --data_target to another"):
        target_of([np.zeros(2), np.zeros(3)], 2)

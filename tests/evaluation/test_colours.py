"""Every class has a colour of its own."""

import numpy as np

from evaluation.colours import COLOURS, colour_of, fills_background, name_of


def test_colours_of_forty_classes_can_be_told_apart():
    assert len(np.unique(COLOURS, axis=0)) == len(COLOURS) == 256
    first = COLOURS[:40].astype(int)
    distance = np.abs(first[:, None] - first[None]).sum(-1) + 999 * np.eye(40, dtype=int)
    assert distance.min() >= 40
    assert colour_of(256) == colour_of(0)


def test_only_a_named_class_0_is_drawn():
    assert fills_background(["sky", "road"])
    assert not any(map(fills_background, ([], ["background", "cell"], ["_background_", "cell"], ["Background"])))
    assert name_of(1, ["sky", "road"]) == "road"
    assert name_of(2, ["sky", "road"]) == "class 2"

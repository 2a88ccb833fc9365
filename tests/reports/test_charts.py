"""Charts: axes within the range of their values, and labels that do not overlap."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.charts import LIGHT, histogram, space_ticks


def drawn(draw, width=4.8):
    figure = Figure(figsize=(width, 2.4), dpi=200, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    draw(axis, LIGHT)
    space_ticks(axis)
    canvas.draw()
    return axis


def boxes_of(axis):
    """Horizontal ranges of the labels inside the axis."""
    low, high = sorted(axis.get_xlim())
    labels = [*axis.get_xticklabels(), *axis.get_xticklabels(minor=True)]
    places = [*axis.get_xticks(), *axis.get_xticks(minor=True)]
    shown = [label for label, place in zip(labels, places, strict=True) if low <= place <= high and label.get_text()]
    return sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in shown))


@pytest.mark.parametrize("high", [1.3, 2, 5, 30, 4e3, 1e6, 1e9])
def test_labels_of_a_logarithmic_axis_do_not_overlap(high):
    values = np.geomspace(0.46 if high < 3 else 100, 0.46 * high if high < 3 else 100 * high, 300)
    ranges = boxes_of(drawn(histogram({"train": values}, "area", log=True)))
    assert len(ranges) >= 2
    assert all(one[1] < other[0] for one, other in zip(ranges, ranges[1:], strict=False))


@pytest.mark.parametrize("values", [[1.0] * 9, [0.0] * 9, [0.5], [0.2, 0.9], [0, 1]])
def test_scores_stay_in_their_range(values):
    axis = drawn(histogram({"train": np.array(values)}, "Dice", 8, bounds=(0, 1)))
    edges = np.concatenate([patch.get_data().edges for patch in axis.patches])
    assert edges.min() == 0
    assert edges.max() == 1
    outside = drawn(histogram({"train": np.array([*values, 7.0])}, "hours", 8, bounds=(0, 1)))
    assert max(patch.get_data().edges.max() for patch in outside.patches) >= 7


def test_one_value_is_in_the_middle_of_its_bin():
    edges = drawn(histogram({"train": np.full(4, 0.3)}, "x")).patches[0].get_data().edges
    assert edges.mean() == pytest.approx(0.3)

"""Boxes of a view against the view of a painted box."""

import numpy as np
import pytest
import torch

from inference.box_views import boxes_of_view
from inference.tta import View, symmetries


def extent(mask):
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("view", symmetries("d4", 2))
def test_a_box_of_the_view_comes_back(view):
    picture = torch.zeros(1, 1, 7, 11)
    picture[..., 1:4, 2:9] = 1
    seen = np.array([[*extent(view.apply(picture)[0, 0].numpy()), 0.5, 3]], np.float32)
    np.testing.assert_array_equal(boxes_of_view(seen, view, (7, 11)), [[2, 1, 9, 4, 0.5, 3]])
    assert boxes_of_view(np.zeros((0, 6)), view, (7, 11)).shape == (0, 6)


def test_a_scaled_view_is_refused():
    with pytest.raises(ValueError, match="got View"):
        boxes_of_view(np.zeros((1, 6)), View(scale=2.0), (7, 11))

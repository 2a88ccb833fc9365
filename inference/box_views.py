"""Boxes found in a view of a picture, in the picture's own pixels; beside `inference.tta`, which turns maps."""

from collections.abc import Sequence

import numpy as np

from inference.tta import View


def boxes_of_view(boxes: np.ndarray, view: View, size: Sequence[int]) -> np.ndarray:
    """Boxes of a mirrored or turned view, turned back exactly.

    Args:
        boxes: `(n, 4+)` float: x1, y1, x2, y2 in pixels of the view, and whatever follows.
        view: how the picture was looked at: flips and axes, and colours, which move nothing.
        size: `(H, W)` of the picture.

    Returns:
        The boxes in pixels of the picture; a copy.

    Raises:
        ValueError: a view that is scaled or shifted.
    """
    if not view.exact:
        raise ValueError(f"boxes are turned back from flips and turns, not from {view}")
    result = np.array(boxes)
    # Near and far side along each axis, rows before columns; the view has them in its own order.
    back = [view.axes.index(axis) for axis in range(2)]
    near, far = result[:, [1, 0]][:, back], result[:, [3, 2]][:, back]
    for axis, flipped in enumerate(view.flips):
        if flipped:
            near[:, axis], far[:, axis] = size[axis] - far[:, axis], size[axis] - near[:, axis]
    result[:, :4] = np.stack([near[:, 1], near[:, 0], far[:, 1], far[:, 0]], axis=1)
    return result

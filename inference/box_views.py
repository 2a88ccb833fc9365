"""Boxes found in a view, transformed back to the image; `inference.tta` does the same for maps."""

from collections.abc import Sequence

import numpy as np

from inference.tta import View


def boxes_of_view(boxes: np.ndarray, view: View, size: Sequence[int]) -> np.ndarray:
    """Boxes of a flipped or rotated view, transformed back exactly.

    Args:
        boxes: `(n, 4+)` float: x1, y1, x2, y2 in pixels of the view, and any further columns.
        view: the view, of flips, axes and colours only.
        size: size `(H, W)` of the image.

    Returns:
        A copy of the boxes in pixels of the image.

    Raises:
        ValueError: the view is scaled or shifted.
    """
    if not view.exact:
        raise ValueError(f"boxes can be transformed back from flips and rotations only, got {view}")
    result = np.array(boxes)
    # Near and far side along each axis, rows before columns, in the order of the view.
    back = [view.axes.index(axis) for axis in range(2)]
    near, far = result[:, [1, 0]][:, back], result[:, [3, 2]][:, back]
    for axis, flipped in enumerate(view.flips):
        if flipped:
            near[:, axis], far[:, axis] = size[axis] - far[:, axis], size[axis] - near[:, axis]
    result[:, :4] = np.stack([near[:, 1], near[:, 0], far[:, 1], far[:, 0]], axis=1)
    return result

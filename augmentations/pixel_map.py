"""Masks and boxes that follow an image transformed by another library."""

import numpy as np

from augmentations.base import masks_of


def pixel_numbers(size: tuple[int, int]) -> np.ndarray:
    """Pixel numbers `(H, W)` from 1, row by row, int32; 0 means outside.

    Transformed like the image, by nearest neighbour, they give the new positions of all masks and boxes.
    """
    return np.arange(1, size[0] * size[1] + 1, dtype=np.int32).reshape(size)


def follow(arrays: dict[str, np.ndarray], numbers: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The arrays of a sample after its image was transformed.

    Args:
        arrays: masks `(H, W)` or `(K, H, W)` of any type, `boxes` `(B, 4)` xyxy with their `labels`, numbers.
        numbers: `pixel_numbers` after the transform, `(h, w)`.
        size: size `(H, W)` before the transform.

    Returns:
        Masks `(h, w)` with 0 outside, boxes as the extent of their visible part, and `valid` if some pixels come from
        outside.
    """
    if numbers.shape == size and np.array_equal(numbers, pixel_numbers(size)):
        return arrays
    inside, places = numbers > 0, np.maximum(numbers - 1, 0)
    result = dict(arrays)
    for name in masks_of(arrays, size):
        moved = arrays[name].reshape(*arrays[name].shape[:-2], -1)[..., places]
        moved[..., ~inside] = 0
        result[name] = moved
    if "boxes" in arrays:
        boxes, seen = _extents(arrays["boxes"], inside, places, size[1])
        result["boxes"] = boxes[seen]
        if "labels" in arrays:
            result["labels"] = arrays["labels"][seen]
    if "valid" not in arrays and not inside.all():
        result["valid"] = inside
    return result


def refuse_floats(what: str, arrays: dict[str, np.ndarray], floats: list[str]) -> None:
    """Raise if targets include float maps, which nearest-neighbour sampling would degrade.

    Args:
        what: name of the augmentation.
        arrays: arrays of the sample.
        floats: names of its float maps.

    Raises:
        ValueError: there is a float map.
    """
    if floats:
        raise ValueError(
            f"{what} samples targets by nearest neighbour, but the target {floats[0]!r} is {arrays[floats[0]].dtype} "
            "and needs interpolation; use augmentations.Geometry and augmentations.Colour"
        )


def _extents(boxes: np.ndarray, inside: np.ndarray, places: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Extent of the pixels from inside each box, and whether a box has any."""
    down, across = places // width + 0.5, places % width + 0.5
    result, seen = np.zeros_like(boxes), np.zeros(len(boxes), bool)
    for number, (left, top, right, bottom) in enumerate(boxes):
        held = inside & (across >= left) & (across <= right) & (down >= top) & (down <= bottom)
        rows, columns = np.flatnonzero(held.any(1)), np.flatnonzero(held.any(0))
        if len(rows):
            seen[number] = True
            result[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return result, seen

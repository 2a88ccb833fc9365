"""Targets and predictions drawn over an image: masks, class numbers, object ids and boxes.

Images are `(h, w, 3)` uint8; arrays have the size of the image. Every function returns a new image.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from evaluation.colours import COLOURS, PALETTE, colour_of, fills_background, name_of
from masks.void import is_class_map

FILL = 0.4  # share of the colour in filled pixels
FONT = cv2.FONT_HERSHEY_SIMPLEX, 0.36
DASH = 4  # pixels
IDS = PALETTE[4]  # colour of the outlines of objects


def are_boxes(array: np.ndarray) -> bool:
    """Whether an array has boxes `(n, 6)`: floats of pixels always have a channel axis too."""
    return array.ndim == 2 and array.dtype.kind == "f"


def several_classes(array: np.ndarray) -> bool:
    """Whether a target has class numbers, or masks of several channels."""
    return is_class_map(array) or (array.ndim == 3 and len(array) > 1)


def draw_array(image: np.ndarray, array: np.ndarray, names: Sequence[str] = (), predicted: bool = False) -> np.ndarray:
    """Draw a target or a prediction of any kind over an image.

    Args:
        image: `(h, w, 3)` uint8.
        array: masks `(K, h, w)` bool, class numbers `(h, w)` int64, object ids `(h, w)`, or boxes `(n, 6)`.
        names: class names.
        predicted: whether boxes are solid and have scores; target boxes are dashed.
    """
    if are_boxes(array):
        return draw_boxes(image, array, names, dashed=not predicted, scores=predicted)
    if is_class_map(array):
        return draw_classes(image, array, names)
    return draw_masks(image, array) if array.ndim == 3 else draw_ids(image, array)


def draw_masks(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Fill and outline each channel of masks `(K, h, w)` bool in its colour."""
    result = image.astype(np.float32)
    for number, mask in enumerate(masks):
        colour = COLOURS[number % len(COLOURS)].astype(np.float32)
        result[mask] = (1 - FILL) * result[mask] + FILL * colour
        result[outlines(mask[None]) & (mask | _grown(mask))] = colour
    return result.astype(np.uint8)


def draw_classes(image: np.ndarray, numbers: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
    """Fill and outline class numbers `(h, w)`; a background, class 0, stays as it is."""
    colours = COLOURS[numbers % len(COLOURS)].astype(np.float32)
    filled = np.ones(numbers.shape, bool) if fills_background(names) else numbers > 0
    result = image.astype(np.float32)
    result[filled] = (1 - FILL) * result[filled] + FILL * colours[filled]
    edges = inner_outlines(numbers) & filled
    result[edges] = colours[edges]
    return result.astype(np.uint8)


def draw_ids(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Fill object ids `(h, w)` in turning colours and outline the objects, so that touching ones stay apart."""
    result = image.astype(np.float32)
    inside = ids > 0
    colours = PALETTE[(ids[inside].astype(np.int64) - 1) % len(PALETTE)]
    result[inside] = (1 - FILL) * result[inside] + FILL * colours
    result[outlines(ids)] = IDS
    return result.astype(np.uint8)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str] = (),
    dashed: bool = False,
    colour: Sequence[int] | None = None,
    scores: bool = False,
    labels: bool = True,
) -> np.ndarray:
    """Draw boxes in the colours of their classes, the best on top, with class and score where they have room.

    Args:
        image: `(h, w, 3)` uint8.
        boxes: `(n, 6)`: x1, y1, x2, y2 in pixels, far side excluded, score, label.
        names: class names; without any, boxes have scores only.
        dashed: whether lines are dashed.
        colour: one colour for all boxes; None: a colour per class.
        scores: whether to write scores.
        labels: whether to write anything.
    """
    result, placed = np.array(image, order="C"), np.zeros(image.shape[:2], bool)
    order = np.argsort(boxes[:, 4], kind="stable")
    inks = [colour_of(int(box[5])) if colour is None else tuple(int(part) for part in colour) for box in boxes]
    for number in order:
        _rectangle(result, boxes[number], inks[number], dashed)
    for number in order[::-1] if labels else ():
        box = boxes[number]
        words = ([name_of(int(box[5]), names)] if names else []) + ([f"{box[4]:.2f}"] if scores else [])
        if words:
            _label(result, " ".join(words), box, inks[number], placed)
    return result


def _rectangle(image: np.ndarray, box: np.ndarray, colour: tuple[int, ...], dashed: bool) -> None:
    left, top, right, bottom = _corners(box, image.shape)
    if not dashed:
        cv2.rectangle(image, (left, top), (right, bottom), colour, 1)
        return
    frame = np.zeros(image.shape[:2], np.uint8)
    cv2.rectangle(frame, (left, top), (right, bottom), 1, 2)
    rows, columns = np.nonzero(frame)
    kept = (rows + columns) // DASH % 2 == 0
    image[rows[kept], columns[kept]] = colour


def _corners(box: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """First and last column and row of a box inside the image: left, top, right, bottom."""
    height, width = shape[:2]
    left, top = (int(np.clip(np.rint(box[k]), 0, size - 1)) for k, size in ((0, width), (1, height)))
    right, bottom = (int(np.clip(np.rint(box[k]) - 1, 0, size - 1)) for k, size in ((2, width), (3, height)))
    return left, top, max(left, right), max(top, bottom)


def _label(image: np.ndarray, text: str, box: np.ndarray, colour: tuple[int, ...], placed: np.ndarray) -> None:
    """Write a text on a plate above a box, or below its upper side without room there; nothing over another plate."""
    left, top, _, _ = _corners(box, image.shape)
    (width, height), below = cv2.getTextSize(text, *FONT, 1)
    high = height + below + 1
    top = top - high if top >= high else top
    left = max(0, min(left, image.shape[1] - width - 2))
    plate = slice(top, top + high), slice(left, left + width + 2)
    if placed[plate].any():
        return
    placed[plate], image[plate] = True, colour
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    cv2.putText(image, text, (left + 1, top + height), *FONT, ink, 1, cv2.LINE_AA)


def heat(values: np.ndarray) -> np.ndarray:
    """Draw values `(h, w)` in 0..1 from dark to bright, `(h, w, 3)` uint8."""
    steps = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def outlines(array: np.ndarray) -> np.ndarray:
    """Pixels of `(h, w)` or `(K, h, w)` whose right or lower neighbour differs, `(h, w)` bool."""
    edges = np.zeros(array.shape[-2:], bool)
    for plane in array if array.ndim == 3 else array[None]:
        edges[:, :-1] |= plane[:, :-1] != plane[:, 1:]
        edges[:-1] |= plane[:-1] != plane[1:]
    return edges


def inner_outlines(array: np.ndarray) -> np.ndarray:
    """Pixels of `(h, w)` with a different neighbour on any side, `(h, w)` bool."""
    edges = outlines(array)
    edges[:, 1:] |= array[:, :-1] != array[:, 1:]
    edges[1:] |= array[:-1] != array[1:]
    return edges


def _grown(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

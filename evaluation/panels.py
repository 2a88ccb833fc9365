"""Panels of predictions beside their targets, for visual inspection."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from evaluation.colours import GRAY, PALETTE, colour_of, fills_background, name_of
from evaluation.metrics.detection import true_boxes
from evaluation.overlays import are_boxes, draw_array, heat, several_classes
from evaluation.panel_bars import GAP, Legend, bar, legend_bars, write_text, write_words
from evaluation.panel_errors import CONFUSED, INVENTED, MISSED, WHITE, confusion_text, draw_errors
from files.png import write_png
from masks.void import VOID, Arrays, is_class_map


class Row(NamedTuple):
    """One image of a panel, already resized: see `row_of`.

    Attributes:
        caption: text above the image.
        image: `(h, w, 3)` uint8.
        target: channel masks `(C, h, w)` bool; instance ids `(h, w)` int32; class numbers `(h, w)` int64; or boxes
            `(n, 6)` float64 in pixels of the resized image.
        prediction: same kind as `target`.
        valid: `(h, w)` bool, False for void pixels; None: all are valid.
        probability: `(h, w)` float32 in 0..1; None without a map of probabilities.
    """

    caption: str
    image: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    valid: np.ndarray | None = None
    probability: np.ndarray | None = None


def row_of(
    caption: str,
    image: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    valid: np.ndarray | None = None,
    probability: np.ndarray | None = None,
    side: int = 256,
) -> Row:
    """Resize an image, its target and its prediction so that the longer side is `side` pixels.

    Args:
        caption: text above the image.
        image: `(C, H, W)` of any type; one or two channels are shown as gray, of more the first three as RGB. Types
            other than uint8 are scaled from their 1st to 99th percentile.
        target: `(C, H, W)` mask (anything above 0), `(H, W)` instance ids, class numbers int64, or boxes `(n, 6)`
            float: x1, y1, x2, y2, score, label.
        prediction: same kind as `target`; float probabilities are cut at 0.5, or reduced to the most probable class if
            the target has class numbers.
        valid: `(H, W)` bool, False for void pixels; class number 255 of the target is void as well. None: all are
            valid.
        probability: `(K, H, W)` float in 0..1 before post-processing, of which the highest is shown; None for none.
        side: longer side of the result in pixels (default: 256).
    """
    if is_class_map(target, image.ndim - 1):
        prediction = _as_classes(prediction, image.ndim - 1)
        valid = target != VOID if valid is None else valid & (target != VOID)
    if valid is not None:
        target, prediction = (
            np.where(valid, array, np.zeros((), array.dtype)) if array.shape[-valid.ndim :] == valid.shape else array
            for array in (target, prediction)
        )
    likely = None if probability is None else probability.max(axis=0)
    if image.ndim == 4:  # show the slice of a volume with the largest target, or the middle slice
        filled = (target > 0).sum(axis=tuple(axis for axis in range(target.ndim) if axis != target.ndim - 3))
        index = int(filled.argmax()) if filled.any() else image.shape[1] // 2
        image, target, prediction = image[:, index], target[..., index, :, :], prediction[..., index, :, :]
        valid, likely = (None if plane is None else plane[index] for plane in (valid, likely))
    height, width = image.shape[-2:]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(rgb(image), size, interpolation=smooth).reshape(size[1], size[0], 3)
    counted = None if valid is None or valid.all() else small_array(valid[None], size)[0]
    if likely is not None:
        likely = cv2.resize(likely.astype(np.float32), size, interpolation=smooth)
    target, prediction = (
        _scaled(array, scale) if are_boxes(array) else small_array(array, size) for array in (target, prediction)
    )
    return Row(caption, resized, target, prediction, counted, likely)


def _as_classes(prediction: np.ndarray, axes: int) -> np.ndarray:
    """Prediction as class numbers int64."""
    if prediction.ndim > axes:
        prediction = prediction.argmax(0) if len(prediction) > 1 else prediction[0]
    return (prediction > 0.5 if prediction.dtype.kind == "f" else prediction).astype(np.int64)


def drawable(arrays: Arrays, name: str, size: tuple[int, ...]) -> np.ndarray | None:
    """Return an array of targets or predictions as `row_of` takes it; None for what cannot be drawn, such as labels.

    Args:
        arrays: arrays of an image by name.
        name: name of the array: masks `(C, *spatial)` of any size, ids or class numbers of `size`, or boxes, `(n, 4)`
            with `labels` `(n,)` or `(n, 6)`.
        size: size of the image, `(H, W)` or `(D, H, W)`.
    """
    array = arrays.get(name)
    if array is None or array.ndim < 2:
        return None
    if array.ndim > 2 or array.shape == tuple(size):
        return array
    if len(size) != 2 or array.shape[1] not in (4, 6):
        return None
    if array.shape[1] == 6:
        return array.astype(np.float64)
    boxes = true_boxes(arrays, name)
    return np.insert(boxes, 4, 1.0, axis=1)


def probability_map(arrays: Arrays, name: str, size: tuple[int, ...]) -> np.ndarray | None:
    """Return probabilities `(K, *size)` of the output `name`, else of the first with a map; None without maps."""
    maps = {key: array for key, array in arrays.items() if array.dtype.kind == "f" and array.shape[1:] == tuple(size)}
    return maps.get(name, next(iter(maps.values()), None))


def draw_panel(rows: list[Row], title: str = "", names: Sequence[str] = ()) -> np.ndarray:
    """Draw a panel `(h, w, 3)` uint8: a row per image with the columns of `panel_cells`, and a legend.

    Args:
        rows: images.
        title: text of the first line.
        names: class names, for the legend and the labels of boxes.
    """
    side = max(max(row.image.shape[:2]) for row in rows)
    columns = columns_of(rows)
    width = len(columns) * (side + GAP)
    heads = bar(width)
    for column, name in enumerate(columns):
        write_text(heads, name, column * (side + GAP) + 4)
    write_words(heads, (len(columns) - 1) * (side + GAP) + 4, columns[-1], error_legend(rows))
    parts = [write_text(bar(width), title, 4), *legend_bars(class_legend(rows, names), width), heads]
    for row in rows:
        about = confusion_of(row, names)
        parts.append(write_text(bar(width), row.caption + (f"   {about}" if about else ""), 4))
        line = np.full((row.image.shape[0] + GAP, width, 3), 32, np.uint8)
        for column, cell in enumerate(panel_cells(row, columns, names)):
            if cell is not None:
                left = column * (side + GAP)
                line[: cell.shape[0], left : left + cell.shape[1]] = cell
        parts.append(line)
    return np.concatenate(parts)


def write_panel(path: Path, rows: list[Row], title: str = "", names: Sequence[str] = ()) -> None:
    """Draw rows into a PNG file, written atomically."""
    write_png(path, draw_panel(rows, title, names))


def columns_of(rows: list[Row]) -> list[str]:
    """Names of the columns; the probability only if an image has it."""
    likely = ["probability"] if any(row.probability is not None for row in rows) else []
    return ["image", "target", "prediction", *likely, "errors"]


def panel_cells(row: Row, columns: list[str], names: Sequence[str] = ()) -> list[np.ndarray | None]:
    """Draw the cells of one image, `(h, w, 3)` uint8 for each column; None without probabilities.

    Target and prediction have the colours of their classes; void pixels are gray. Target boxes are dashed, predicted
    ones solid, with class and score. The probability is the highest of all channels or classes, from dark (0) to bright
    (1). Errors of several classes have the colour of the class predicted instead, white where that is the background;
    of others, missed pixels are orange and false positives blue. Outlines of objects show splits and merges (target
    white, prediction yellow).
    """
    target, prediction = (
        draw_array(row.image, array, names, found) for array, found in ((row.target, False), (row.prediction, True))
    )
    likely = None if row.probability is None else heat(row.probability)
    drawn = {"image": row.image, "target": target, "prediction": prediction, "probability": likely}
    drawn["errors"] = draw_errors(row.image, row.target, row.prediction, names)
    cells = [drawn[column] for column in columns]
    if row.valid is not None:
        for cell in cells[1:]:
            if cell is not None:
                cell[~row.valid] = GRAY
    return cells


def class_legend(rows: list[Row], names: Sequence[str] = ()) -> Legend:
    """Names and colours of the classes in a panel; empty for one class without a name."""
    found: set[int] = set()
    for row in rows:
        for array in (row.target, row.prediction):
            if are_boxes(array):
                found |= set(array[:, 5].astype(int).tolist())
            elif array.ndim == 3:
                found |= set(range(len(array)))
            elif is_class_map(array):
                found |= set(np.unique(array).tolist())
    maps = any(is_class_map(row.target) for row in rows)
    shown = sorted(found | (set(range(len(names))) if found else set()))
    if maps and not fills_background(names):
        shown = [number for number in shown if number]
    if len(shown) < 2 and not names:
        return []
    return [(name_of(number, names), colour_of(number)) for number in shown]


def confusion_of(row: Row, names: Sequence[str] = ()) -> str:
    """Return the largest confusion of two classes of an image in words; see `panel_errors.confusion_text`."""
    return confusion_text(row.target, row.prediction, row.valid, names)


def error_legend(rows: list[Row]) -> Legend:
    """Words and colours of the column of errors."""
    several = [several_classes(row.target) for row in rows]
    boxes = any(are_boxes(row.target) for row in rows)
    outlined = any(_are_ids(row.target) and row.prediction.ndim == 2 for row in rows)
    words = [] if any(several) else [("missed", MISSED), ("false positive", INVENTED)]
    words += [("wrong class", CONFUSED)] if boxes else []
    words += [("class predicted instead, white: none", WHITE)] if any(several) else []
    words += [("target", WHITE), ("predicted", PALETTE[4])] if outlined else []
    return [(word, (int(colour[0]), int(colour[1]), int(colour[2]))) for word, colour in words]


def rgb(image: np.ndarray) -> np.ndarray:
    """Image as RGB `(H, W, 3)` uint8."""
    channels = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    if channels.dtype != np.uint8:
        low, high = np.percentile(channels, (1, 99))
        channels = np.clip((channels - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.ascontiguousarray(channels.astype(np.uint8).transpose(1, 2, 0))


def _scaled(boxes: np.ndarray, scale: float) -> np.ndarray:
    return boxes * np.array([scale, scale, scale, scale, 1, 1])


def small_array(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ids `(h, w)` int32, class numbers int64 or masks `(C, h, w)` bool, resized by nearest neighbour."""
    if array.ndim == 2:
        small = cv2.resize(array.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)
        return small.astype(np.int64 if is_class_map(array) else np.int32)
    masks = array > (0.5 if array.dtype.kind == "f" else 0)
    return np.stack([cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks])


def _are_ids(array: np.ndarray) -> bool:
    return array.ndim == 2 and not is_class_map(array) and not are_boxes(array)

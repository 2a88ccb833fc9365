"""Panels of predictions beside their targets, for visual inspection."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from files.png import write_png
from masks.void import VOID, is_class_map

COLUMNS = ("image", "target", "prediction", "errors")
# Okabe and Ito's palette, safe for colour-blind readers; class or channel k has colour k.
PALETTE = np.array(
    [(0, 158, 115), (230, 159, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66), (0, 114, 178), (213, 94, 0)],
    np.uint8,
)
MISSED, INVENTED, CONFUSED = PALETTE[6], PALETTE[2], PALETTE[3]
GRAY = 110  # of ignored pixels
BAR, GAP = 18, 2
FONT = cv2.FONT_HERSHEY_SIMPLEX, 0.42


class Row(NamedTuple):
    """One image of a panel, already resized: see `row_of`.

    Attributes:
        caption: text above the image.
        image: `(h, w, 3)` uint8.
        target: target: channel masks `(C, h, w)` bool; instance ids `(h, w)` int32, shown by outlines only; or class
            numbers `(h, w)` int64.
        prediction: same kind as `target`.
        valid: `(h, w)` bool, pixels that count; None: all.
    """

    caption: str
    image: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    valid: np.ndarray | None = None


def row_of(
    caption: str,
    image: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    side: int = 256,
    valid: np.ndarray | None = None,
) -> Row:
    """Resize an image, its target and its prediction so that the longer side is `side` pixels.

    Args:
        caption: text above the image.
        image: `(C, H, W)` of any type; one or two channels are shown as gray, of more the first three as RGB. Types
            other than uint8 are scaled from their 1st to 99th percentile.
        target: target: `(C, H, W)` mask (anything above 0), `(H, W)` instance ids, or class numbers int64.
        prediction: same kind as `target`; float probabilities are cut at 0.5, or reduced to the most probable class if
            the target has class numbers.
        side: longer side of the result in pixels (default: 256).
        valid: `(H, W)` bool, pixels that count; class number 255 of the target is ignored as well. None: all.
    """
    if is_class_map(target, image.ndim - 1):
        prediction = _as_classes(prediction, image.ndim - 1)
        valid = target != VOID if valid is None else valid & (target != VOID)
    if valid is not None:
        target, prediction = (
            np.where(valid, array, np.zeros((), array.dtype)) if array.shape[-valid.ndim :] == valid.shape else array
            for array in (target, prediction)
        )
    if image.ndim == 4:  # show the slice of a volume with the largest target, or the middle slice
        filled = (target > 0).sum(axis=tuple(axis for axis in range(target.ndim) if axis != target.ndim - 3))
        index = int(filled.argmax()) if filled.any() else image.shape[1] // 2
        image, target, prediction = image[:, index], target[..., index, :, :], prediction[..., index, :, :]
        valid = None if valid is None else valid[index]
    height, width = image.shape[-2:]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(_rgb(image), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    counted = None if valid is None or valid.all() else _small(valid[None], size)[0]
    return Row(caption, resized.reshape(size[1], size[0], 3), _small(target, size), _small(prediction, size), counted)


def _as_classes(prediction: np.ndarray, axes: int) -> np.ndarray:
    """Prediction as class numbers int64."""
    if prediction.ndim > axes:
        prediction = prediction.argmax(0) if len(prediction) > 1 else prediction[0]
    return (prediction > 0.5 if prediction.dtype.kind == "f" else prediction).astype(np.int64)


def as_map(array: np.ndarray | None, size: tuple[int, ...]) -> np.ndarray | None:
    """Convert a target or prediction to what `row_of` draws; None for what cannot be drawn, such as labels.

    Args:
        array: masks `(C, …)` of any size and ids of shape `size` are returned unchanged; boxes `(n, 4)` or `(n, 6)` in
            pixels (x1, y1, x2, y2, far side excluded) become ids `(H, W)`, small boxes on top of large ones.
        size: size of the image, `(H, W)` or `(D, H, W)`.
    """
    if array is None or array.ndim < 2:
        return None
    if array.ndim > 2 or array.shape == tuple(size):
        return array
    if len(size) != 2 or array.shape[1] not in (4, 6):
        return None
    corners = array[:, :4].astype(np.float64)
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    ids = np.zeros(size, np.int32)
    for number in np.argsort(-areas, kind="stable"):
        left, top, right, bottom = np.maximum(np.rint(corners[number]), 0).astype(int)
        ids[top:bottom, left:right] = number + 1
    return ids


def draw_panel(rows: list[Row], title: str = "") -> np.ndarray:
    """Draw a panel `(h, w, 3)` uint8: a row per image with the columns image, target, prediction, errors.

    Target and prediction are outlined and filled in the colour of their class or channel; ignored pixels are gray.
    Errors: missed pixels are orange, false positives blue, pixels of a wrong class or channel purple. For instances,
    outlines show splits and merges (target white, prediction yellow). The column header is the legend.
    """
    side = max(max(row.image.shape[:2]) for row in rows)
    width = len(COLUMNS) * (side + GAP)
    names = np.full((BAR, width, 3), 32, np.uint8)
    for column, name in enumerate(COLUMNS):
        _text(names, name, column * (side + GAP) + 4)
    outlined = any(_are_ids(row.target) and row.prediction.ndim == 2 for row in rows)
    classes = any(is_class_map(row.target) or (row.target.ndim == 3 and len(row.target) > 1) for row in rows)
    _legend(names, (len(COLUMNS) - 1) * (side + GAP) + 4, outlined, classes)
    parts = [_text(np.full((BAR, width, 3), 32, np.uint8), title, 4), names]
    for row in rows:
        parts.append(_text(np.full((BAR, width, 3), 32, np.uint8), row.caption, 4))
        cells = [row.image, _drawn(row.image, row.target), _drawn(row.image, row.prediction), _errors(row)]
        if row.valid is not None:
            for cell in cells[1:]:
                cell[~row.valid] = GRAY
        line = np.full((row.image.shape[0] + GAP, width, 3), 32, np.uint8)
        for column, cell in enumerate(cells):
            left = column * (side + GAP)
            line[: cell.shape[0], left : left + cell.shape[1]] = cell
        parts.append(line)
    return np.concatenate(parts)


def write_panel(path: Path, rows: list[Row], title: str = "") -> None:
    """Draw rows into a PNG file, written atomically."""
    write_png(path, draw_panel(rows, title))


def _rgb(image: np.ndarray) -> np.ndarray:
    """Image as RGB `(H, W, 3)` uint8."""
    channels = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    if channels.dtype != np.uint8:
        low, high = np.percentile(channels, (1, 99))
        channels = np.clip((channels - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.ascontiguousarray(channels.astype(np.uint8).transpose(1, 2, 0))


def _small(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ids `(h, w)` int32, class numbers int64 or masks `(C, h, w)` bool, resized by nearest neighbour."""
    if array.ndim == 2 and array.dtype.kind != "f":
        small = cv2.resize(array.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)
        return small.astype(np.int64 if is_class_map(array) else np.int32)
    masks = array if array.ndim == 3 else array[None]
    masks = masks > (0.5 if masks.dtype.kind == "f" else 0)
    return np.stack([cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks])


def _outlines(array: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour differs, `(h, w)` bool."""
    edges = np.zeros(array.shape[-2:], bool)
    for plane in array if array.ndim == 3 else array[None]:
        edges[:, :-1] |= plane[:, :-1] != plane[:, 1:]
        edges[:-1] |= plane[:-1] != plane[1:]
    return edges


def _drawn(image: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Image with masks or ids as an overlay."""
    result = image.astype(np.float32)
    masks = array if array.ndim == 3 else _by_colour(array)
    for number, mask in enumerate(masks):
        colour = PALETTE[number % len(PALETTE)].astype(np.float32)
        result[mask] = 0.7 * result[mask] + 0.3 * colour
        result[_outlines(mask[None]) & (mask | _grown(mask))] = colour
    if _are_ids(array):
        result[_outlines(array)] = PALETTE[4]
    return result.astype(np.uint8)


def _by_colour(ids: np.ndarray) -> list[np.ndarray]:
    """One mask per colour; ids take the colours in turn, so that neighbours differ."""
    return [(ids > 0) & ((ids - 1) % len(PALETTE) == number) for number in range(len(PALETTE))]


def _grown(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _errors(row: Row) -> np.ndarray:
    """Missed and false positive pixels over the grayscale image; outlines for instances."""
    gray = 0.5 * row.image.mean(axis=2, keepdims=True) + 40
    result = np.repeat(gray, 3, axis=2).astype(np.uint8)
    target, prediction = row.target, row.prediction
    if is_class_map(target):
        result[(target > 0) & (prediction != target)] = CONFUSED
        result[(target > 0) & (prediction == 0)], result[(target == 0) & (prediction > 0)] = MISSED, INVENTED
        return result
    if target.ndim == 2 and prediction.ndim == 2:
        result[_outlines(target)], result[_outlines(prediction)] = (255, 255, 255), PALETTE[4]
        target, prediction = target[None] > 0, prediction[None] > 0
    target = target[None] > 0 if target.ndim == 2 else target
    prediction = prediction[None] > 0 if prediction.ndim == 2 else prediction
    if len(target) != len(prediction):  # class numbers against channels: compare foreground only
        target, prediction = np.asarray(target.any(0))[None], np.asarray(prediction.any(0))[None]
    missed, invented = (target & ~prediction).any(0), (prediction & ~target).any(0)
    result[missed], result[invented], result[missed & invented] = MISSED, INVENTED, CONFUSED
    return result


def _are_ids(array: np.ndarray) -> bool:
    return array.ndim == 2 and not is_class_map(array)


def _legend(image: np.ndarray, left: int, outlines: bool, classes: bool) -> None:
    """Draw the legend of the last column, each word in its colour."""
    words = [("missed", MISSED), ("invented", INVENTED)]
    words += [("confused", CONFUSED)] if classes else []
    words += [("target", (255, 255, 255)), ("predicted", PALETTE[4])] if outlines else []
    for before, (word, colour) in zip([COLUMNS[-1], *(word for word, _ in words)], words, strict=False):
        left += cv2.getTextSize(f"{before} ", *FONT, 1)[0][0] + 3
        _text(image, word, left, tuple(map(int, colour)))


def _text(image: np.ndarray, text: str, left: int, colour: tuple[int, ...] = (235, 235, 235)) -> np.ndarray:
    cv2.putText(image, text, (left, BAR - 5), *FONT, colour, 1, cv2.LINE_AA)
    return image


class Gallery:
    """Collects the images of one panel during validation: a fixed set and the worst.

    Args:
        count: number of images in the panel: half are the first images seen, half the worst.
        higher_is_better: whether a higher score is better (default: True).
    """

    def __init__(self, count: int, higher_is_better: bool = True) -> None:
        self.count, self.fixed_count, self.worst_count = count, count - count // 2, count // 2
        self.sign = 1 if higher_is_better else -1
        self.fixed: dict[str, Row] = {}
        self.worst: list[tuple[float, str, Row]] = []

    def add(
        self,
        image_id: str,
        score: float,
        image: np.ndarray,
        target: np.ndarray,
        prediction: np.ndarray,
        valid: np.ndarray | None = None,
    ) -> None:
        """Add one image if it belongs in the panel; see `row_of` for the arrays."""
        if image_id in self.fixed:
            return
        badness = -np.inf if np.isnan(score) else -self.sign * score  # an image without a score is not a bad one
        fixed = len(self.fixed) < self.fixed_count
        if not fixed and (
            not self.worst_count or (len(self.worst) == self.worst_count and badness <= self.worst[-1][0])
        ):
            return
        row = row_of(f"{image_id}   {score:.3f}", image, target, prediction, valid=valid)
        if fixed:
            self.fixed[image_id] = row
            return
        kept = [entry for entry in self.worst if entry[1] != image_id]
        self.worst = sorted([*kept, (badness, image_id, row)], key=lambda entry: -entry[0])[: self.worst_count]

    def rows(self) -> list[Row]:
        """Rows of the fixed images in the order seen, then of the worst, worst first."""
        worst = [row._replace(caption=f"worst: {row.caption}") for _, _, row in self.worst]
        return [*self.fixed.values(), *worst]

"""The column of errors of a panel: missed, invented and confused pixels, objects and boxes."""

from collections.abc import Sequence

import numpy as np

from evaluation.colours import COLOURS, PALETTE, colour_of, fills_background, name_of
from evaluation.metrics.detection import box_overlaps
from evaluation.overlays import are_boxes, draw_boxes, outlines
from masks.void import is_class_map

MISSED, INVENTED, CONFUSED = PALETTE[6], PALETTE[2], PALETTE[3]
WHITE = np.array((255, 255, 255), np.uint8)
MATCH_IOU = 0.5  # of a predicted and a target box


def confusion_text(
    target: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None, names: Sequence[str] = ()
) -> str:
    """Return the largest confusion of two classes of an image, such as `12% of person as tree`; empty without one.

    Args:
        target: class numbers `(h, w)` int64, or boxes `(n, 6)`; other kinds have no classes to confuse.
        prediction: same kind as `target`.
        valid: `(h, w)` bool, False for void pixels; None: all are valid.
        names: class names.
    """
    if is_class_map(target) and is_class_map(prediction):
        counted = np.ones(target.shape, bool) if valid is None else valid
        true, found = target[counted], prediction[counted]
        first = 0 if fills_background(names) else 1
        pairs = np.stack([true, found])[:, (true >= first) & (found >= first)]
    elif are_boxes(target):
        true, found = (boxes[:, 5].astype(np.int64) for boxes in (target, prediction))
        _, chosen = match_boxes(target, prediction)
        pairs = np.stack([true[chosen[chosen >= 0]], found[chosen >= 0]])
    else:
        return ""
    count = int(max(true.max(initial=0), found.max(initial=0))) + 1
    confused = np.bincount(pairs[0] * count + pairs[1], minlength=count**2).reshape(count, count)
    np.fill_diagonal(confused, 0)
    one, other = divmod(int(confused.argmax()), count)
    share = confused[one, other] / max(1, np.count_nonzero(true == one))
    return f"{share:.0%} of {name_of(one, names)} as {name_of(other, names)}" if share >= 0.01 else ""


def match_boxes(target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match predicted to target boxes at an IoU of 0.5, those of the same class first, the best score first.

    Args:
        target: `(m, 6)`: x1, y1, x2, y2, score, label.
        prediction: `(n, 6)`.

    Returns:
        Whether each target is matched, bool `(m,)`; and the index of the target of each prediction, int `(n,)`, -1 for
        a false positive.
    """
    taken, chosen = np.zeros(len(target), bool), np.full(len(prediction), -1)
    overlap = np.round(box_overlaps(prediction, target), 9)
    order = np.argsort(-prediction[:, 4], kind="stable")
    same = prediction[:, None, 5] == target[None, :, 5]
    for allowed in (same, ~same):
        for number in order[chosen[order] < 0].tolist():
            fitting = np.where(allowed[number] & ~taken, overlap[number], 0)
            if len(fitting) and fitting.max() >= MATCH_IOU:
                chosen[number] = fitting.argmax()
                taken[chosen[number]] = True
    return taken, chosen


def draw_errors(image: np.ndarray, target: np.ndarray, prediction: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
    """Draw wrong pixels, objects or boxes over the grayscale image; see `panels.panel_cells` for the colours.

    Args:
        image: `(h, w, 3)` uint8.
        target: masks `(K, h, w)` bool, class numbers `(h, w)` int64, object ids `(h, w)`, or boxes `(n, 6)`.
        prediction: same kind as `target`.
        names: class names.
    """
    gray = 0.5 * image.mean(axis=2, keepdims=True) + 40
    result = np.repeat(gray, 3, axis=2).astype(np.uint8)
    if are_boxes(target):
        return _box_errors(result, target, prediction, names)
    if is_class_map(target):
        instead = COLOURS[prediction % len(COLOURS)]
        if not fills_background(names):
            instead[prediction == 0] = WHITE
        wrong = prediction != target
        result[wrong] = instead[wrong]
        return result
    if target.ndim == 2 and prediction.ndim == 2:
        result[outlines(target)], result[outlines(prediction)] = WHITE, PALETTE[4]
        target, prediction = target[None] > 0, prediction[None] > 0
    target = target[None] > 0 if target.ndim == 2 else target
    prediction = prediction[None] > 0 if prediction.ndim == 2 else prediction
    if len(target) != len(prediction):  # class numbers against channels: compare foreground only
        target, prediction = np.asarray(target.any(0))[None], np.asarray(prediction.any(0))[None]
    missed, invented = target & ~prediction, prediction & ~target
    if len(target) > 1:
        result[missed.any(0)] = WHITE
        for number, wrong in enumerate(invented):
            result[wrong] = colour_of(number)
    else:
        result[missed[0]], result[invented[0]] = MISSED, INVENTED
    return result


def _box_errors(gray: np.ndarray, target: np.ndarray, prediction: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Missed targets dashed; false positives and boxes of a wrong class solid; correct boxes thin and gray."""
    taken, chosen = match_boxes(target, prediction)
    known = target[np.maximum(chosen, 0), 5] if len(target) else np.zeros(len(prediction))
    right, confused = (chosen >= 0) & (prediction[:, 5] == known), (chosen >= 0) & (prediction[:, 5] != known)
    result = draw_boxes(gray, prediction[right], colour=(190, 190, 190), labels=False)
    result = draw_boxes(result, prediction[chosen < 0], names, colour=INVENTED, scores=True)
    result = draw_boxes(result, prediction[confused], names, colour=CONFUSED, scores=True)
    return draw_boxes(result, target[~taken], names, dashed=True, colour=MISSED)

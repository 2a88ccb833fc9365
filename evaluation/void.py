"""Scores without the pixels that do not count: `valid` of the truth is False there (`masks.void`)."""

from collections.abc import Collection

import numpy as np

from masks.void import Arrays


def without_void(arrays: Arrays, truth: Arrays, names: Collection[str] | None = None) -> Arrays:
    """The arrays of one image with 0 wherever the truth's `valid` is False.

    What the truth does not tell is not there: no foreground, no object, no probability. A chain of post-processing
    starts from predictions without void, so that no area, component or watershed sees it; a metric takes void out of
    prediction and truth once more, because a step may have grown into it. Stores and submissions keep what was
    predicted.

    Args:
        arrays: by name. Maps `(K, *spatial)`, and masks, ids and class numbers `(*spatial)` have pixels; labels and
            boxes are left alone.
        truth: target arrays of the image; `valid` bool `(*spatial)`, where some pixels do not count.
        names: of the arrays that are wanted without void; None: all.

    Returns:
        The given mapping itself where all pixels count, so that nothing is copied.
    """
    valid = truth.get("valid")
    if valid is None or valid.all():
        return arrays
    valid = valid.astype(bool, copy=False)
    wanted = [name for name in arrays if name != "valid" and (names is None or name in names)]
    return arrays | {
        name: np.where(valid, arrays[name], np.zeros((), arrays[name].dtype))
        for name in wanted
        if has_pixels(arrays[name], valid)
    }


def has_pixels(array: np.ndarray, valid: np.ndarray) -> bool:
    """Whether an array has a value, or several, for each pixel of `valid`.

    Numbers with a fraction always come as maps `(K, *spatial)`; without that axis they are lists, of boxes.
    """
    axes = (valid.ndim, valid.ndim + 1) if array.dtype.kind in "biu" else (valid.ndim + 1,)
    return array.ndim in axes and array.shape[array.ndim - valid.ndim :] == valid.shape


def nothing_counts(truth: Arrays) -> bool:
    """Whether no pixel of an image counts."""
    valid = truth.get("valid")
    return valid is not None and not valid.any()

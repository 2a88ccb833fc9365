"""Scoring without void pixels: those where `valid` of the target is False (`masks.void`)."""

from collections.abc import Collection

import numpy as np

from masks.void import Arrays


def without_void(arrays: Arrays, targets: Arrays, names: Collection[str] | None = None) -> Arrays:
    """Return the arrays of one image with 0 wherever the target's `valid` is False.

    Void pixels have no foreground, no object, no probability. A post-processing chain starts from predictions without
    void, so that no area, component or watershed sees it; a metric removes void from prediction and target again,
    because a step may have grown into it. Stores and submissions keep the predictions unchanged.

    Args:
        arrays: arrays by name. Maps `(K, *spatial)`, and masks, ids and class numbers `(*spatial)` have pixels; labels
            and boxes are returned unchanged.
        targets: target arrays of the image; optionally `valid` bool `(*spatial)`, False where pixels do not count.
        names: names of the arrays to change; None: all.

    Returns:
        `arrays` itself, not copied, if all pixels count.
    """
    valid = targets.get("valid")
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
    """Whether an array has one or more values for each pixel of `valid`.

    Floats always come as maps `(K, *spatial)`; without that axis they are lists of boxes.
    """
    axes = (valid.ndim, valid.ndim + 1) if array.dtype.kind in "biu" else (valid.ndim + 1,)
    return array.ndim in axes and array.shape[array.ndim - valid.ndim :] == valid.shape


def nothing_counts(targets: Arrays) -> bool:
    """Whether all pixels of an image are void."""
    valid = targets.get("valid")
    return valid is not None and not valid.any()

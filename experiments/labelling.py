"""Training labels from the predictions of an image."""

from collections.abc import Collection, Mapping

import numpy as np

from datamodules.external.pseudo import SOFT
from masks.void import VOID
from predictions.quantiser import to_steps

Arrays = dict[str, np.ndarray]


def confidence(
    prediction: Mapping[str, np.ndarray], softmax: Collection[str], known: np.ndarray | None = None
) -> float:
    """Mean of max(p, 1 − p) over pixels and classes, or of the highest p for softmax; 0.5 to 1 for two classes.

    Args:
        prediction: probabilities by output name.
        softmax: outputs with one class per pixel or image.
        known: pixels with data, bool `(*spatial)`; by default, all. The result is NaN if there are none.
    """
    sure = [p.max(0) if name in softmax else np.maximum(p, 1 - p) for name, p in prediction.items()]
    if known is not None:
        sure = [values[..., known] if values.shape[-known.ndim :] == known.shape else values for values in sure]
    counted = np.concatenate([np.ravel(values) for values in sure])
    return float(counted.mean()) if counted.size else float("nan")


def decide(p: np.ndarray, softmax: bool, hi: float, lo: float) -> np.ndarray:
    """Where all classes of `(K, *spatial)` probabilities are above `hi` or below `lo`: bool `(*spatial)`."""
    return p.max(0) > hi if softmax else ((p > hi) | (p < lo)).all(0)


def labels_of(
    prediction: Mapping[str, np.ndarray],
    processed: Mapping[str, np.ndarray],
    like: Mapping[str, np.ndarray],
    softmax: Collection[str],
    hi: float,
    lo: float,
    soft: bool,
    known: np.ndarray | None = None,
) -> Arrays | None:
    """Labels of an image in the format of the real targets.

    Args:
        prediction: probabilities by output name: `(K, *spatial)`, or `(K,)` of the whole image.
        processed: post-processed predictions, for targets without an output (`instances`).
        like: targets of a real image as read from its files; names, ranks and dtypes are copied.
        softmax: outputs with one class per pixel or image.
        hi: probability above which a class is positive.
        lo: probability below which a class is negative; pixels in between are ignored (`valid`).
        soft: whether to use probabilities as labels: unchanged for images, under `<name>_soft` for masks.
        known: pixels with data, bool `(*spatial)`; by default, all.

    Returns:
        Arrays by name, with `valid` `(*spatial)` bool for hard masks; None if no pixel is decided, or the image-level
        label is undecided.

    Raises:
        ValueError: if a target cannot be derived from the predictions; names it.
    """
    arrays: Arrays = {}
    undecided: list[np.ndarray] = []
    for name, real in like.items():
        p = prediction.get(name)
        if p is None:
            if name not in processed or soft or processed[name].ndim < 2:
                have = sorted({*prediction, *processed})
                how = "soft labels need a network output of that name" if soft else "expected one of that name"
                raise ValueError(
                    f"no prediction for the target {name!r}; network and post-processing give {have}; {how}"
                )
            arrays[name] = processed[name].astype(real.dtype)
            undecided += [~decide(q, out in softmax, hi, lo) for out, q in prediction.items() if q.ndim > 2]
            continue
        index = real.ndim == p.ndim - 1
        if not index and real.ndim != p.ndim:
            raise ValueError(f"target {name!r} has {real.ndim} axes, its prediction {p.ndim}")
        if soft:
            if p.ndim > 1:
                arrays[name] = (p.argmax(0) if index else p > 0.5).astype(real.dtype)
                arrays[name + SOFT] = to_steps(p)
            else:
                arrays[name] = p.astype(np.float32)
            continue
        if p.min() < 0 or p.max() > 1:
            raise ValueError(
                f"{name!r} ranges from {p.min():.3g} to {p.max():.3g}, expected probabilities; use --soft true"
            )
        decided = decide(p, index, hi, lo)
        if p.ndim == 1:  # image-level: the label is used or not
            if not decided:
                return None
            arrays[name] = np.array(p.argmax() if index else p > hi).astype(real.dtype)
        elif index:
            arrays[name] = np.where(decided, p.argmax(0), VOID).astype(real.dtype)
            undecided.append(~decided)
        else:
            arrays[name] = (p > hi).astype(real.dtype)
            undecided.append(~decided)
    if undecided and known is not None:
        undecided.append(~known)
    if undecided:
        arrays["valid"] = ~np.any(undecided, axis=0)
        if not arrays["valid"].any():
            return None
    return arrays

"""Predictions of one image as labels to train on."""

from collections.abc import Collection, Mapping

import numpy as np

from datamodules.external.pseudo import SOFT
from masks.void import VOID
from predictions.quantiser import to_steps

Arrays = dict[str, np.ndarray]


def confidence(
    prediction: Mapping[str, np.ndarray], softmax: Collection[str], known: np.ndarray | None = None
) -> float:
    """Mean over pixels and classes of max(p, 1 − p), of softmax outputs of the highest p; 0.5 to 1 for two classes.

    Args:
        prediction: probabilities by output name.
        softmax: outputs with one class per pixel or image.
        known: bool `(*spatial)`, where the image holds data; everywhere unless given. nan where that is nowhere.
    """
    sure = [p.max(0) if name in softmax else np.maximum(p, 1 - p) for name, p in prediction.items()]
    if known is not None:
        sure = [values[..., known] if values.shape[-known.ndim :] == known.shape else values for values in sure]
    counted = np.concatenate([np.ravel(values) for values in sure])
    return float(counted.mean()) if counted.size else float("nan")


def decide(p: np.ndarray, softmax: bool, hi: float, lo: float) -> np.ndarray:
    """Where probabilities `(K, *spatial)` say yes or no for every class: bool `(*spatial)`."""
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
    """Labels of an image in the form of the real truth.

    Args:
        prediction: probabilities by output name: `(K, *spatial)`, or `(K,)` of the whole image.
        processed: what the competition's chain makes of them; gives truth that no output has (`instances`).
        like: truth of a real image as its files hold it; each array's name, rank and type are taken over.
        softmax: outputs with one class per pixel or image.
        hi: a class is there above it.
        lo: and is not below it. What is between does not count (`valid`).
        soft: probabilities instead: as they are for the image, under `<name>_soft` for masks.
        known: bool `(*spatial)`, where the image holds data; everywhere unless given.

    Returns:
        Arrays by name, with `valid` `(*spatial)` bool of hard masks; None where nothing, or not the image's own label,
        was decided.

    Raises:
        ValueError: truth that predictions cannot give; names it.
    """
    arrays: Arrays = {}
    undecided: list[np.ndarray] = []
    for name, real in like.items():
        p = prediction.get(name)
        if p is None:
            if name not in processed or soft or processed[name].ndim < 2:
                have = sorted({*prediction, *processed})
                how = "soft labels want an output of the network of that name" if soft else "expected one of that name"
                raise ValueError(f"truth has {name!r}, but predictions and the chain give {have}; {how}")
            arrays[name] = processed[name].astype(real.dtype)
            undecided += [~decide(q, out in softmax, hi, lo) for out, q in prediction.items() if q.ndim > 2]
            continue
        index = real.ndim == p.ndim - 1
        if not index and real.ndim != p.ndim:
            raise ValueError(f"truth {name!r} has {real.ndim} axes, its prediction {p.ndim}")
        if soft:
            if p.ndim > 1:
                arrays[name] = (p.argmax(0) if index else p > 0.5).astype(real.dtype)
                arrays[name + SOFT] = to_steps(p)
            else:
                arrays[name] = p.astype(np.float32)
            continue
        if p.min() < 0 or p.max() > 1:
            raise ValueError(f"{name!r} is no probability (from {p.min():.3g} to {p.max():.3g}); take --soft true")
        decided = decide(p, index, hi, lo)
        if p.ndim == 1:  # of the whole image: it counts, or it does not
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

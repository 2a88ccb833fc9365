"""Equal or given numbers of images of each class."""

import warnings
from typing import Literal

import numpy as np

from postprocessing.balanced import balance
from postprocessing.dataset_step import DatasetContext, DatasetStep, stacked


class EqualizeCounts(DatasetStep):
    """Shift class probabilities until each class is the most probable one of equally many images.

    Camera identification 2018 and Quick, Draw! 2018: the organisers' test sets were balanced, which was worth 0.7 % of
    MAP@3 for every model (https://www.kaggle.com/c/quickdraw-doodle-recognition/discussion/73738). Counts differ by at
    most 1; 112,200 images of 340 classes take about ten seconds. A warning reports the changes.

    Args:
        output: name of the probabilities `(K,)` of exclusive classes.
        method: `iterative` lowers each class by a number of its own, as the competitors did step by step; the order of
            images within a class is unchanged. Of all ways to equalise it has the largest sum of probabilities.
            `assignment` has the largest sum of log probabilities; probabilities are halved, and that of the assigned
            class is in the upper half.
        step: largest amount by which a class is lowered beyond what equal counts need, to make preferences clear.
        shares: share of each class, if not equal; the sum need not be 1.
        rounds: maximum number of times the most frequent class is lowered; remaining differences are settled by the
            cheapest exchange between classes.

    Raises:
        ValueError: fewer images than classes; a wrong number of shares; probabilities that are not finite.

    Example:
        >>> import numpy as np
        >>> from postprocessing import EqualizeCounts
        >>> from postprocessing.dataset_step import DatasetContext
        >>> given = {name: np.array([p, 1 - p], np.float32) for name, p in zip("abcd", (0.9, 0.8, 0.7, 0.6))}
        >>> found = EqualizeCounts()(given, DatasetContext())
        >>> [int(found[name].argmax()) for name in "abcd"]  # the first class was more probable for all
        [0, 0, 1, 1]
    """

    def __init__(
        self,
        output: str = "label",
        method: Literal["iterative", "assignment"] = "iterative",
        step: float = 1e-3,
        shares: list[float] | None = None,
        rounds: int = 100_000,
    ) -> None:
        if method not in ("iterative", "assignment") or step <= 0 or rounds < 1:
            raise ValueError(
                f"EqualizeCounts: method {method!r}, step {step}, rounds {rounds}; expected iterative or assignment, "
                "above 0, and 1 or more"
            )
        if shares is not None and (min(shares) < 0 or sum(shares) <= 0):
            raise ValueError(f"EqualizeCounts: shares are {shares}, expected numbers ≥ 0, not all 0")
        self.output, self.method, self.step, self.shares, self.rounds = output, method, step, shares, rounds

    def __call__(self, probabilities: dict[str, np.ndarray], around: DatasetContext) -> dict[str, np.ndarray]:
        """Shifted probabilities: float64 in 0..1, since float32 would create ties."""
        ids, matrix = stacked(probabilities, self)
        if not np.isfinite(matrix).all():
            wrong = ids[int(np.flatnonzero(~np.isfinite(matrix).all(1))[0])]
            raise ValueError(
                f"EqualizeCounts: image {wrong!r} has probabilities in {self.output!r} that are not finite"
            )
        wanted, first = self.wanted(*matrix.shape), matrix.argmax(1)
        before = np.bincount(first, minlength=len(wanted))
        if self._fits(before, wanted):
            return dict(zip(ids, matrix, strict=True))
        if self.method == "iterative":
            chosen, prices = balance(matrix, wanted, self.step, self.rounds)
            result = _shifted(matrix, chosen, prices)
        else:
            chosen, _ = balance(np.log(np.maximum(matrix - min(0.0, matrix.min()), 1e-12)), wanted, rounds=self.rounds)
            result = _raised(matrix, chosen)
        warnings.warn(
            f"EqualizeCounts: the {len(wanted)} classes of {self.output!r} had {before.min()} to {before.max()} of "
            f"{len(ids)} images and now have {wanted.min()} to {wanted.max()}; {(chosen != first).sum()} images "
            "changed class",
            stacklevel=2,
        )
        return dict(zip(ids, result, strict=True))

    def wanted(self, images: int, classes: int) -> np.ndarray:
        """Number of images of each class; the largest remainders get one more."""
        if images < classes:
            raise ValueError(
                f"EqualizeCounts: {images} images for {classes} classes of {self.output!r}, expected one or more each"
            )
        shares = np.ones(classes) if self.shares is None else np.array(self.shares, float)
        if len(shares) != classes:
            raise ValueError(
                f"EqualizeCounts: shares has {len(shares)} values, expected {classes}, the classes of {self.output!r}"
            )
        exact = images * shares / shares.sum()
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: images - counts.sum()]] += 1
        return counts

    def _fits(self, counts: np.ndarray, wanted: np.ndarray) -> bool:
        """Whether equal counts differ by at most 1, or given counts are off by at most 1."""
        return np.ptp(counts) <= 1 if self.shares is None else np.abs(counts - wanted).max() <= 1


def _shifted(matrix: np.ndarray, chosen: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Probabilities less the price of their class, rescaled to 0..1."""
    result = matrix - prices
    low, high = min(0.0, result.min()), max(1.0, result.max())
    if low < 0 or high > 1:
        result -= low
        result /= high - low
    # Ties: identical images that were assigned different classes.
    undecided = np.flatnonzero(result.argmax(1) != chosen)
    result[undecided, chosen[undecided]] = np.nextafter(result[undecided].max(1), np.inf)
    return result


def _raised(matrix: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Probabilities scaled to the lower half, except those of the assigned classes."""
    low, high = min(0.0, matrix.min()), max(1.0, matrix.max())
    result = (matrix - low) / (high - low) / 2
    rows = np.arange(len(matrix))
    own = result[rows, chosen]
    np.minimum(result, 0.499999, out=result)
    result[rows, chosen] = 0.5 + own
    return result

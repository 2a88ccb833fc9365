"""As many images of each class as there are known to be."""

from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from postprocessing.set_step import SetStep, Surroundings, stacked

MOST = 20_000  # images that an assignment can be solved for in memory and minutes


class EqualizeCounts(SetStep):
    """Shift the probabilities of the classes until each is the most probable of as many images.

    Camera identification 2018 and Quick, Draw! 2018: the organisers' test sets were balanced, which was worth 0.7 % of
    MAP@3 for every model (https://www.kaggle.com/c/quickdraw-doodle-recognition/discussion/73738).

    Args:
        output: probabilities `(K,)` of classes that exclude each other.
        method: `iterative` lowers the most frequent class by a small step until it is no longer the most frequent, and
            so on; the order of the images within a class stays. `assignment` finds the counts with the largest sum of
            log probabilities, exactly; it adds 1 to the chosen class and halves, so that it is the most probable.
        step: what the iterative method lowers a class by at first; halved when it goes to and fro.
        shares: of the classes, where they are not equal; they need not sum to 1.
        rounds: of the iterative method at most; what then still differs is assigned.

    Raises:
        ValueError: fewer images than classes; shares that do not fit.

    Example:
        >>> import numpy as np
        >>> from postprocessing import EqualizeCounts
        >>> from postprocessing.set_step import Surroundings
        >>> probabilities = {
        ...     "a": np.array([0.9, 0.1], np.float32),
        ...     "b": np.array([0.8, 0.2], np.float32),
        ...     "c": np.array([0.6, 0.4], np.float32),
        ...     "d": np.array([0.3, 0.7], np.float32),
        ... }
        >>> equal = EqualizeCounts()(probabilities, Surroundings())
        >>> {image_id: int(array.argmax()) for image_id, array in equal.items()}  # c was the least sure of class 0
        {'a': 0, 'b': 0, 'c': 1, 'd': 1}
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
            raise ValueError(f"EqualizeCounts: method {method!r}, step {step}, rounds {rounds}: see its arguments")
        if shares is not None and (min(shares) < 0 or sum(shares) <= 0):
            raise ValueError(f"EqualizeCounts: shares are {shares}, expected numbers of 0 or more, not all 0")
        self.output, self.method, self.step, self.shares, self.rounds = output, method, step, shares, rounds

    def __call__(self, probabilities: dict[str, np.ndarray], around: Surroundings) -> dict[str, np.ndarray]:
        ids, matrix = stacked(probabilities, self)
        wanted = self.wanted(*matrix.shape)
        if self.method == "iterative":
            matrix = self._iterate(matrix, wanted)
        surplus = np.bincount(matrix.argmax(1), minlength=matrix.shape[1]) - wanted
        if self.method == "assignment" or not self._fits(surplus, wanted):
            matrix = self._assign(matrix, wanted)
        return dict(zip(ids, matrix.astype(np.float32), strict=True))

    def wanted(self, images: int, classes: int) -> np.ndarray:
        """Images of each class; the largest remainders get one more."""
        if images < classes:
            raise ValueError(f"EqualizeCounts: {images} images for {classes} classes of {self.output!r}; it needs more")
        shares = np.ones(classes) if self.shares is None else np.array(self.shares, float)
        if len(shares) != classes:
            raise ValueError(f"EqualizeCounts: {len(shares)} shares for the {classes} classes of {self.output!r}")
        exact = images * shares / shares.sum()
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: images - counts.sum()]] += 1
        return counts

    def _fits(self, surplus: np.ndarray, wanted: np.ndarray) -> bool:
        """Whether equal counts differ by 1 at most; given ones by 1 from what they should be."""
        return np.ptp(surplus + wanted) <= 1 if self.shares is None else np.abs(surplus).max() <= 1

    def _iterate(self, matrix: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        offsets, step = np.zeros(len(wanted)), self.step
        chosen = matrix.argmax(1)
        seen: dict[bytes, int] = {}
        for _ in range(self.rounds):
            surplus = np.bincount(chosen, minlength=len(wanted)) - wanted
            if self._fits(surplus, wanted):
                break
            first = int(surplus.argmax())
            offsets[first] += step
            own = np.flatnonzero(chosen == first)  # nobody else can change its class
            chosen[own] = (matrix[own] - offsets).argmax(1)
            if (chosen[own] == first).all():
                continue  # still on the way to the first change: no sign of going to and fro
            key = chosen.tobytes()
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > 50 and step > 1e-9:
                step, seen = step / 2, {}
        return matrix - offsets

    def _assign(self, matrix: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        if len(matrix) > MOST:
            raise ValueError(
                f"EqualizeCounts: {len(matrix)} images are too many to assign exactly ({MOST}); set a step"
            )
        positive = np.maximum(matrix - min(0.0, matrix.min()), 1e-12)
        places = np.repeat(np.arange(len(wanted)), wanted)
        rows, columns = linear_sum_assignment(-np.log(positive)[:, places])
        result = matrix.copy()
        result[rows, places[columns]] += 1 + matrix.max() - matrix.min()
        return result / 2

"""Which images of a validation are shown."""

from collections.abc import Sequence

import numpy as np

from evaluation.panels import Row, row_of


class Gallery:
    """Collects the images of one panel during validation: a fixed set and the worst.

    The worst are among the worse half of all images, so that a good image of a small set is not called one of the
    worst.

    Args:
        count: number of images in the panel: half are the first images seen, half the worst.
        higher_is_better: whether a higher score is better (default: True).
    """

    def __init__(self, count: int, higher_is_better: bool = True) -> None:
        self.count, self.fixed_count, self.worst_count = count, count - count // 2, count // 2
        self.sign = 1 if higher_is_better else -1
        self.fixed: dict[str, Row] = {}
        self.worst: list[tuple[float, str, Row]] = []
        self.seen: dict[str, float] = {}  # how bad every image is

    def add(
        self,
        image_id: str,
        score: float,
        image: np.ndarray,
        target: np.ndarray,
        prediction: np.ndarray,
        valid: np.ndarray | None = None,
        probability: np.ndarray | None = None,
    ) -> None:
        """Add one image if it belongs in the panel; see `row_of` for the arrays."""
        # An image without a score is not a bad one.
        badness = self.seen[image_id] = -np.inf if np.isnan(score) else -self.sign * score
        if image_id in self.fixed:
            return
        fixed = len(self.fixed) < self.fixed_count
        if not fixed and (
            not self.worst_count or (len(self.worst) == self.worst_count and badness <= self.worst[-1][0])
        ):
            return
        row = row_of(f"{image_id}   {score:.3f}", image, target, prediction, valid, probability)
        if fixed:
            self.fixed[image_id] = row
            return
        kept = [entry for entry in self.worst if entry[1] != image_id]
        self.worst = sorted([*kept, (badness, image_id, row)], key=lambda entry: -entry[0])[: self.worst_count]

    def rows(self) -> list[Row]:
        """Rows of the fixed images in the order seen, then of the worst, worst first."""
        middle = np.median(list(self.seen.values())) if self.seen else 0.0
        worst = [row._replace(caption=f"worst: {row.caption}") for bad, _, row in self.worst if bad >= middle]
        return [*self.fixed.values(), *worst]


def worst_median_best(order: Sequence[str], count: int) -> dict[str, list[str]]:
    """Divide images into worst, median and best, none in two of them.

    Args:
        order: image ids, the worst first.
        count: number of images of each kind; fewer if there are not three times as many images.

    Returns:
        The ids of `worst` (worst first), `median` and `best` (best first); kinds without an image are left out.
    """
    if len(order) < 3:
        groups = {"worst": order[:1], "best": order[1:]} if len(order) == 2 else {"median": order}
    else:
        each = min(count, len(order) // 3)
        middle = (len(order) - each) // 2
        groups = {
            "worst": order[:each],
            "median": order[middle : middle + each],
            "best": order[len(order) - each :][::-1],
        }
    return {kind: list(ids)[:count] for kind, ids in groups.items() if len(ids) and count}

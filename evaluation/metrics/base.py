"""Base class of competition metrics: a row per image, reduced once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from evaluation.void import Arrays, without_void


class CompetitionMetric(ABC):
    """A metric made of two pure functions: `image()` gives the row of one image, `reduce()` the score of all rows.

    Rows are stored by image id. So the score does not depend on batch size or number of ranks, an image repeated by a
    loader counts once, and every image has a score of its own. Offline verbs call the two functions directly; training
    wraps the metric in a `callbacks.GatheredMetric`, which gathers the rows of all ranks.

    Pixels where the target's `valid` is False are ignored: `image()` of every metric receives the arrays named `output`
    and `target` with 0 there. That removes void from masks and objects; an object without a pixel left does not exist.
    A metric that also counts background or classes uses `targets["valid"]` (`evaluation.metrics.overlap`).
    """

    output: str = "mask"
    target: str = "mask"
    higher_is_better: bool = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "image" in vars(cls):
            setattr(cls, "image", _over_valid_pixels(cls.image))  # noqa: B010 - type checkers reject the assignment

    def __init__(self) -> None:
        self.rows: dict[str, np.ndarray] = {}

    @abstractmethod
    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        """Row of one image: 1-D float64 of counts or scores, equally long for every image, or the result of `as_row`.

        Args:
            prediction: post-processed arrays of the image by name, at original size.
            targets: target arrays of the image by name, at original size; optionally `valid` bool `(*spatial)`, False
                where pixels are ignored.
        """

    @abstractmethod
    def reduce(self, rows: np.ndarray) -> float:
        """Score of all images; `rows` is `(N, F)`, one `image()` row per image."""

    def units(self, rows: np.ndarray) -> np.ndarray:
        """Rows that resampling draws, in a form that `reduce` accepts: by default the rows of images.

        A metric that scores several images as one (slices of a volume) returns a row for each such unit.
        """
        return rows

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        """Score of each class over all images, `(K,)`; empty for a metric without classes."""
        return np.empty(0)

    def placed(self, row: np.ndarray, image_id: str) -> np.ndarray:
        """Row of `image()` completed from the image id where the metric needs it, such as the area of the image."""
        return row

    def row(self, image_id: str, prediction: Arrays, targets: Arrays) -> np.ndarray:
        """Row of one image, as stored."""
        return self.placed(self.image(prediction, targets), image_id)

    def image_score(self, row: np.ndarray) -> float:
        """Score of one image, for `scores.csv`."""
        return self.reduce(row[None])

    def add(self, image_id: str, prediction: Arrays, targets: Arrays) -> None:
        """Score one image and store its row; an id added before is replaced."""
        self.rows[image_id] = self.row(image_id, prediction, targets)

    def update(
        self, predicted: Any, target: Any, image_id: Sequence[str] | None = None, valid: Any | None = None
    ) -> None:
        """Add a batch in a script: one array or tensor per image (stacked `(N, …)` or a list).

        Without `image_id` images are numbered in order. `valid` marks the pixels of each image that count.
        """
        if len(predicted) != len(target):
            raise ValueError(f"{type(self).__name__}: {len(predicted)} predictions for {len(target)} targets")
        ids = [f"#{len(self.rows) + number:08d}" for number in range(len(target))] if image_id is None else image_id
        for number, (name, one, other) in enumerate(zip(ids, predicted, target, strict=True)):
            prediction, targets = self.arrays(_numpy(one), _numpy(other))
            known = {} if valid is None else {"valid": _numpy(valid[number])}
            self.rows[name] = self.row(name, prediction, targets | known)

    def arrays(self, predicted: np.ndarray, target: np.ndarray) -> tuple[Arrays, Arrays]:
        """Arrays of one image for `update`, under the names `output` and `target` that `image` reads."""
        return {self.output: predicted}, {self.target: target}

    def scores(self) -> dict[str, float]:
        """Score of every image."""
        return {image_id: self.image_score(row) for image_id, row in self.rows.items()}

    def compute(self) -> float:
        """Score over all added images.

        Raises:
            ValueError: no image was added.
        """
        return float(self.reduce(self._stacked()))

    def by_class(self) -> list[float]:
        """Score of each class over all added images, `(K,)`; empty for a metric without classes."""
        return self.class_scores(self._stacked()).tolist()

    def _stacked(self) -> np.ndarray:
        if not self.rows:
            raise ValueError(f"{type(self).__name__} has no image to score; is the validation split empty?")
        return np.stack([self.rows[image_id] for image_id in sorted(self.rows)])

    def reset(self) -> None:
        """Remove all images."""
        self.rows = {}


def _over_valid_pixels(image: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Wrap `image()` of a metric so that it ignores void pixels."""

    @wraps(image)
    def counted(self: CompetitionMetric, prediction: Arrays, targets: Arrays) -> np.ndarray:
        prediction = without_void(prediction, targets, (self.output,))
        return image(self, prediction, without_void(targets, targets, (self.target,)))

    return counted


def as_row(value: Any) -> np.ndarray:
    """Wrap a value of any type in a row `(1,)`, for images with different numbers of counts (a score per box)."""
    row = np.empty(1, object)
    row[0] = value
    return row


def _numpy(value: Any) -> np.ndarray:
    """Convert a tensor of any device to an array; recognised by its methods, so that torch is not imported."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def require_array(arrays: Arrays, name: str, what: str) -> np.ndarray:
    """Return the array of this name, or raise an error that lists the names there are."""
    if name not in arrays:
        raise ValueError(f"the metric requires {name!r} in the {what}, which has {sorted(arrays)}")
    return arrays[name]

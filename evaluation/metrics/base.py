"""The base of every competition metric: a row per image, reduced once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from evaluation.void import Arrays, without_void


class CompetitionMetric(ABC):
    """A metric made of two pure functions: `image()` gives the row of one image, `reduce()` the score of all rows.

    Rows are kept by image id. So batches of any size and any number of ranks give the same number, an image that a
    loader repeats counts once, and every image has a score of its own. Offline verbs call the two functions directly;
    a training holds the metric in a `callbacks.GatheredMetric`, which joins the rows of all ranks.

    Pixels where the truth's `valid` is False count nowhere: whoever calls `image()`, of any metric, it gets the arrays
    named `output` and `truth` with 0 there. That takes void out of masks and objects, one without a pixel left being
    none; a metric that counts background or classes besides looks at `truth["valid"]` (`evaluation.metrics.overlap`).
    """

    output: str = "mask"
    truth: str = "mask"
    higher_is_better: bool = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "image" in vars(cls):
            setattr(cls, "image", _over_valid_pixels(cls.image))  # noqa: B010 - a type checker refuses the assignment

    def __init__(self) -> None:
        self.rows: dict[str, np.ndarray] = {}

    @abstractmethod
    def image(self, prediction: Arrays, truth: Arrays) -> np.ndarray:
        """Row of one image: 1-D float64 of counts or scores, of the same length for every image, or a `whole` of them.

        Args:
            prediction: post-processed arrays of the image by name, at its original size.
            truth: target arrays of the image by name, at its original size. `valid` bool `(*spatial)`, if it is there,
                says which pixels count.
        """

    @abstractmethod
    def reduce(self, rows: np.ndarray) -> float:
        """Score of all images; `rows` is `(N, F)`, one `image()` row per image."""

    def units(self, rows: np.ndarray) -> np.ndarray:
        """What a resampling of the set draws, in a form that `reduce` takes too: the images' rows themselves.

        A metric that scores several images as one (the slices of a volume) gives a row for each of these.
        """
        return rows

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        """Score of each class over all images, `(K,)`; empty for a metric that has no classes."""
        return np.empty(0)

    def placed(self, row: np.ndarray, image_id: str) -> np.ndarray:
        """The row of `image()` with what the id tells, where that matters: the area that the image lies in."""
        return row

    def row(self, image_id: str, prediction: Arrays, truth: Arrays) -> np.ndarray:
        """Row of one image, as it is kept."""
        return self.placed(self.image(prediction, truth), image_id)

    def image_score(self, row: np.ndarray) -> float:
        """Score of one image, for `scores.csv`."""
        return self.reduce(row[None])

    def add(self, image_id: str, prediction: Arrays, truth: Arrays) -> None:
        """Score one image and keep its row; an id that is there already is replaced."""
        self.rows[image_id] = self.row(image_id, prediction, truth)

    def update(
        self, predicted: Any, target: Any, image_id: Sequence[str] | None = None, valid: Any | None = None
    ) -> None:
        """Add a batch: one array or tensor per image (stacked `(N, …)` or a list), for scripts.

        Without `image_id` images are numbered in the order they come. `valid` says which pixels of each count.
        """
        if len(predicted) != len(target):
            raise ValueError(f"{type(self).__name__}: {len(predicted)} predictions for {len(target)} targets")
        ids = [f"#{len(self.rows) + number:08d}" for number in range(len(target))] if image_id is None else image_id
        for number, (name, one, other) in enumerate(zip(ids, predicted, target, strict=True)):
            prediction, truth = self.arrays(_numpy(one), _numpy(other))
            known = {} if valid is None else {"valid": _numpy(valid[number])}
            self.rows[name] = self.row(name, prediction, truth | known)

    def arrays(self, predicted: np.ndarray, target: np.ndarray) -> tuple[Arrays, Arrays]:
        """One image's arrays of `update` under the names that `image` reads, kept as `output` and `truth`."""
        return {self.output: predicted}, {self.truth: target}

    def scores(self) -> dict[str, float]:
        """Score of every image."""
        return {image_id: self.image_score(row) for image_id, row in self.rows.items()}

    def compute(self) -> float:
        """The score over the images that were added.

        Raises:
            ValueError: nothing was added.
        """
        return float(self.reduce(self._stacked()))

    def by_class(self) -> list[float]:
        """Score of each class over the images that were added, `(K,)`; empty for a metric that has no classes."""
        return self.class_scores(self._stacked()).tolist()

    def _stacked(self) -> np.ndarray:
        if not self.rows:
            raise ValueError(f"{type(self).__name__} has seen no image; is the validation split empty?")
        return np.stack([self.rows[image_id] for image_id in sorted(self.rows)])

    def reset(self) -> None:
        """Forget every image."""
        self.rows = {}


def _over_valid_pixels(image: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`image()` of a metric without the pixels that do not count."""

    @wraps(image)
    def counted(self: CompetitionMetric, prediction: Arrays, truth: Arrays) -> np.ndarray:
        prediction = without_void(prediction, truth, (self.output,))
        return image(self, prediction, without_void(truth, truth, (self.truth,)))

    return counted


def whole(value: Any) -> np.ndarray:
    """A row `(1,)` that holds anything at all, where images have different numbers of counts (a score per box)."""
    row = np.empty(1, object)
    row[0] = value
    return row


def _numpy(value: Any) -> np.ndarray:
    """An array, or a tensor of any device, which is told by its methods so that nothing need import torch."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def named(arrays: Arrays, name: str, what: str) -> np.ndarray:
    """The array of this name, or an error that lists what there is."""
    if name not in arrays:
        raise ValueError(f"the metric wants {name!r} in the {what}, which holds {sorted(arrays)}")
    return arrays[name]

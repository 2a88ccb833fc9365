"""Base class of steps that process all images at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def no_labels() -> dict[str, np.ndarray]:
    raise ValueError("training labels are not available here")


@dataclass(frozen=True)
class DatasetContext:
    """What a dataset step may use besides predictions.

    Args:
        fold_of: validation fold of each image; empty for test images, on which no model was trained.
        labels: function that returns the target of the step's output for every training image.
    """

    fold_of: dict[str, int] = field(default_factory=dict)
    labels: Callable[[], dict[str, np.ndarray]] = no_labels


class DatasetStep(ABC):
    """A step of `competition.dataset_postprocess`: changes an image-level output of all images together.

    These steps run before `competition.postprocess`, on out-of-fold images in `search`, `score` and `report`, and on
    test images in `submit`. Every constructor argument is stored as an attribute of the same name.
    """

    output: str

    @abstractmethod
    def __call__(self, probabilities: dict[str, np.ndarray], around: DatasetContext) -> dict[str, np.ndarray]:
        """Return the changed output of every image.

        Args:
            probabilities: probabilities `(K,)` float32 by image id.
            around: folds and labels.
        """


def stacked(probabilities: dict[str, np.ndarray], step: DatasetStep) -> tuple[list[str], np.ndarray]:
    """Stack probabilities: sorted ids, and `(N, K)` float64.

    Raises:
        ValueError: an array is not image-level or differs in length.
    """
    ids = sorted(probabilities)
    for image_id in ids:
        array = probabilities[image_id]
        if array.ndim != 1 or array.dtype.kind != "f" or array.shape != probabilities[ids[0]].shape:
            raise ValueError(
                f"{type(step).__name__} expects probabilities (K,) of one length in {step.output!r}; image "
                f"{image_id!r} has {array.dtype} {array.shape}"
            )
    return ids, np.stack([probabilities[image_id] for image_id in ids]).astype(np.float64)

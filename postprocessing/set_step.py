"""The base of steps that look at all images at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def no_labels() -> dict[str, np.ndarray]:
    raise ValueError("the labels of the training images are not known here")


@dataclass(frozen=True)
class Surroundings:
    """What a step over all images may know beside the predictions.

    Args:
        fold_of: fold in which each image was validated; empty for test images, which no model trained on.
        labels: gives the truth of the step's output for every training image; called when it is needed.
    """

    fold_of: dict[str, int] = field(default_factory=dict)
    labels: Callable[[], dict[str, np.ndarray]] = no_labels


class SetStep(ABC):
    """One step of `competition.dataset_postprocess`: changes an image-level output of all images together.

    These steps come before `competition.postprocess`, over the out-of-fold images in `search`, `score` and `report`,
    and over the test images in `submit`. Every constructor argument is kept as an attribute of the same name.
    """

    output: str

    @abstractmethod
    def __call__(self, probabilities: dict[str, np.ndarray], around: Surroundings) -> dict[str, np.ndarray]:
        """The output of every image, changed.

        Args:
            probabilities: image id -> `(K,)` float32.
            around: folds and labels.
        """


def stacked(probabilities: dict[str, np.ndarray], step: SetStep) -> tuple[list[str], np.ndarray]:
    """Ids, and the probabilities as `(N, K)` float64.

    Raises:
        ValueError: an array that is not image-level, or of another length.
    """
    ids = sorted(probabilities)
    for image_id in ids:
        array = probabilities[image_id]
        if array.ndim != 1 or array.dtype.kind != "f" or array.shape != probabilities[ids[0]].shape:
            raise ValueError(
                f"{type(step).__name__} wants probabilities (K,) of one length in {step.output!r}; image {image_id!r} "
                f"has {array.dtype} {array.shape}"
            )
    return ids, np.stack([probabilities[image_id] for image_id in ids]).astype(np.float64)

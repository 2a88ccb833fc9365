"""Removal of objects by the score of a second-level model."""

import numpy as np

from postprocessing.step import Step, mask_or_instances, require_array


class ObjectScore(Step):
    """Remove instances with a low predicted IoU.

    `stack --mode objects` writes the scores beside the instances, out of fold for training images, so that `search` and
    `score` see what a test image would get (2018 Data Science Bowl, 1st place, topcoders; SpaceNet 4, 1st place).

    Args:
        threshold: smallest predicted IoU to keep; 0.3 and 0.2 in the winners' two submissions.
        output: name of the instance ids `(H, W)`.
        scores: name of the scores `(n,)` of ids 1 … n.

    Example:
        >>> import numpy as np
        >>> from postprocessing import ObjectScore
        >>> prediction = {"instances": np.array([[1, 1, 0, 2]], np.int32), "object_scores": np.array([0.9, 0.1])}
        >>> ObjectScore(0.3)(prediction)["instances"]
        array([[1, 1, 0, 0]], dtype=int32)
    """

    def __init__(self, threshold: float = 0.3, output: str = "instances", scores: str = "object_scores") -> None:
        self.threshold, self.output, self.scores = threshold, output, scores

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids, scores = mask_or_instances(prediction, self.output, self), require_array(prediction, self.scores, self)
        if ids.dtype == bool or scores.ndim != 1 or ids.max(initial=0) > len(scores):
            raise ValueError(
                f"ObjectScore expects ids up to {scores.size} in {self.output!r}, one per score of {self.scores!r} "
                f"{scores.shape}, got {ids.dtype} up to {ids.max(initial=0)}; put it before steps that renumber ids"
            )
        kept = np.concatenate([[True], scores >= self.threshold])
        return prediction | {self.output: np.where(kept[ids], ids, ids.dtype.type(0))}

    def search_space(self) -> dict[str, list]:
        return {"threshold": [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7]}

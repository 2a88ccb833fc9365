"""Class scores of objects from a class map."""

import numpy as np

from postprocessing.step import Step, mask_or_instances, require_array


class InstanceClasses(Step):
    """Score the classes of each instance by the mean of their probabilities over its pixels.

    The result is what `submissions.Coco`, `submissions.Cells` and `evaluation.MaskAveragePrecision` read.

    Args:
        classes: name of the class probabilities `(C, H, W)`.
        output: name of the instance ids `(H, W)`.
        result: name of the scores `(n, C)` float32, in row i - 1 for id i; NaN for ids without pixels.
        first_class: first channel that is a class: 1 if channel 0 of a softmax is the background.

    Example:
        >>> import numpy as np
        >>> from postprocessing import InstanceClasses
        >>> kinds = np.array([[[0.9, 0.7, 0.2]], [[0.1, 0.3, 0.8]]], np.float32)  # (C, H, W)
        >>> prediction = {"instances": np.array([[1, 1, 2]], np.int32), "kind": kinds}
        >>> InstanceClasses("kind")(prediction)["scores"].round(2)
        array([[0.8, 0.2],
               [0.2, 0.8]], dtype=float32)
    """

    def __init__(self, classes: str, output: str = "instances", result: str = "scores", first_class: int = 0) -> None:
        self.classes, self.output, self.result, self.first_class = classes, output, result, first_class

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids, maps = mask_or_instances(prediction, self.output, self), require_array(prediction, self.classes, self)
        if ids.dtype == bool or maps.ndim != 3 or maps.dtype.kind != "f" or maps.shape[1:] != ids.shape:
            raise ValueError(
                f"InstanceClasses expects instance ids (H, W) in {self.output!r} and probabilities (C, H, W) in "
                f"{self.classes!r}, got {ids.dtype} {ids.shape} and {maps.dtype} {maps.shape}"
            )
        inside = np.flatnonzero(ids)
        own = ids.ravel()[inside]
        count = int(own.max(initial=0)) + 1
        pixels = np.bincount(own, minlength=count)[1:]
        sums = [np.bincount(own, plane.ravel()[inside], count)[1:] for plane in maps[self.first_class :]]
        means = np.full((count - 1, len(sums)), np.nan, np.float32)
        np.divide(np.array(sums).T, pixels[:, None], out=means, where=pixels[:, None] > 0, casting="unsafe")
        return prediction | {self.result: np.minimum(means, 1)}

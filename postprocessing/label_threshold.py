"""Labels from probabilities."""

import numpy as np

from postprocessing.step import Step, require_array


class LabelThreshold(Step):
    """Convert probabilities to labels: probability > value.

    Args:
        value: threshold, or one per class. Several thresholds on a single output `(1,)` are the cut points of grades:
            [0.5, 1.5, 2.5, 3.5] turn a regression of 0 … 4 into cumulative flags "above grade k" (APTOS 2019).
        best: whether an image in which no class passes gets its most probable one (Human Protein Atlas 2018, Planet:
            every image has a label).
        output: name of the probabilities `(K,)`.
        result: name of the labels, bool `(K,)` (default: replaces `output`).

    Example:
        >>> import numpy as np
        >>> from postprocessing import LabelThreshold
        >>> probabilities = np.array([0.3, 0.4], np.float32)
        >>> LabelThreshold(0.5)({"label": probabilities})["label"]
        array([False, False])
        >>> LabelThreshold(0.5, best=True)({"label": probabilities})["label"]
        array([False,  True])
    """

    def __init__(
        self, value: float | list[float] = 0.5, best: bool = False, output: str = "label", result: str | None = None
    ) -> None:
        self.value, self.best, self.output, self.result = value, best, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f" or probabilities.ndim != 1:
            raise ValueError(
                f"LabelThreshold expects probabilities (K,), {self.output!r} is {probabilities.dtype} "
                f"{probabilities.shape}" + ("; is it thresholded already?" if probabilities.dtype.kind != "f" else "")
            )
        value = np.asarray(self.value, np.float32)
        if value.ndim and len(probabilities) not in (1, len(value)):
            raise ValueError(
                f"LabelThreshold has {len(value)} values, expected {len(probabilities)}, the classes of {self.output!r}"
            )
        if self.best and value.size > len(probabilities):
            raise ValueError("LabelThreshold: best is for classes, but value has several cut points of one output")
        labels = probabilities > value
        if self.best and not labels.any():
            labels[probabilities.argmax()] = True
        return prediction | {self.result or self.output: labels}

    def search_space(self) -> dict[str, list]:
        """Thresholds in [0.01, 0.99], each on its own; cut points in steps around their current values."""
        shares = [0.01, 0.02, 0.03, *(round(0.05 * n, 2) for n in range(1, 20)), 0.97, 0.98, 0.99]
        if not isinstance(self.value, list):
            return {"value": shares}
        if all(0 <= value <= 1 for value in self.value):
            return {f"value[{place}]": shares for place in range(len(self.value))}
        steps = [-0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4]
        return {f"value[{k}]": [round(value + step, 6) for step in steps] for k, value in enumerate(self.value)}

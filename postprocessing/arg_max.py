"""The most probable class."""

import numpy as np

from postprocessing.step import Step, require_array


class ArgMax(Step):
    """Convert probabilities to the number of the most probable class; ties go to the first.

    Args:
        output: name of the probabilities of an image `(K,)`, or of its pixels `(C, H, W)`.
        result: name of the class number int64 `()`, or of the class map int64 `(H, W)` (default: replaces `output`).

    Example:
        >>> import numpy as np
        >>> from postprocessing import ArgMax
        >>> ArgMax()({"label": np.array([0.2, 0.7, 0.1], np.float32)})["label"]
        array(1)
    """

    def __init__(self, output: str = "label", result: str | None = None) -> None:
        self.output, self.result = output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f" or probabilities.ndim not in (1, 3):
            raise ValueError(
                f"ArgMax expects probabilities (K,) or (C, H, W), {self.output!r} is {probabilities.dtype} "
                f"{probabilities.shape}"
            )
        return prediction | {self.result or self.output: np.asarray(probabilities.argmax(axis=0))}

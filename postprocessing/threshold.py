"""Masks from probabilities."""

import numpy as np

from postprocessing.step import Step, require_array


class Threshold(Step):
    """Convert probabilities to a mask: probability > value.

    Args:
        value: threshold, or one per channel.
        output: name of the probabilities, `(C, H, W)` or `(C,)`.
        result: name of the bool mask (default: replaces `output`, so that metrics, submissions and further steps find
            the mask under the usual name).

    Example:
        >>> import numpy as np
        >>> from postprocessing import Threshold
        >>> probabilities = np.array([[[0.2, 0.6], [0.5, 0.9]]], np.float32)
        >>> Threshold(0.5)({"mask": probabilities})["mask"].astype(int)
        array([[[0, 1],
                [0, 1]]])
    """

    def __init__(self, value: float | list[float] = 0.5, output: str = "mask", result: str | None = None) -> None:
        self.value, self.output, self.result = value, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f":
            raise ValueError(
                f"Threshold expects probabilities, {self.output!r} is {probabilities.dtype}; is it a mask already?"
            )
        value = np.asarray(self.value, np.float32)
        if value.ndim:
            if len(value) != len(probabilities):
                raise ValueError(
                    f"Threshold has {len(value)} values, expected {len(probabilities)}, the channels of {self.output!r}"
                )
            value = value.reshape(-1, *[1] * (probabilities.ndim - 1))
        return prediction | {self.result or self.output: probabilities > value}

    def search_space(self) -> dict[str, list]:
        """Thresholds, each on its own."""
        shares = [round(0.05 * n, 2) for n in range(2, 19)]
        if not isinstance(self.value, list):
            return {"value": shares}
        return {f"value[{channel}]": shares for channel in range(len(self.value))}

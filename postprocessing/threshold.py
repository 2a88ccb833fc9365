"""From probabilities to a mask."""

import numpy as np

from postprocessing.step import Step, named


class Threshold(Step):
    """Mask = probability > value.

    Args:
        value: one threshold, or one per channel.
        output: probabilities to threshold, `(C, H, W)` or `(C,)`.
        result: name of the bool mask; by default it replaces the probabilities, so that a metric of the same output
            finds a mask.
    """

    def __init__(self, value: float | list[float] = 0.5, output: str = "mask", result: str | None = None) -> None:
        self.value, self.output, self.result = value, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = named(prediction, self.output, self)
        value = np.asarray(self.value, np.float32)
        if value.ndim and len(value) != len(probabilities):
            raise ValueError(f"Threshold has {len(value)} values for {len(probabilities)} channels of {self.output!r}")
        mask = (
            probabilities > value.reshape(-1, *[1] * (probabilities.ndim - 1)) if value.ndim else probabilities > value
        )
        return prediction | {self.result or self.output: mask}

    def search_space(self) -> dict[str, list]:
        return {} if isinstance(self.value, list) else {"value": [round(0.05 * n, 2) for n in range(2, 19)]}

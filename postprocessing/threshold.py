"""From probabilities to a mask."""

import numpy as np

from postprocessing.step import Step, named


class Threshold(Step):
    """Mask = probability > value.

    Args:
        value: one threshold, or one per channel.
        output: probabilities to threshold, `(C, H, W)` or `(C,)`.
        result: name of the bool mask. By default it takes the place of the probabilities, so that metrics, submissions
            and further steps find the mask under the name that the output has everywhere else.

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
        probabilities = named(prediction, self.output, self)
        if probabilities.dtype.kind != "f":
            raise ValueError(
                f"Threshold wants probabilities, {self.output!r} is {probabilities.dtype}: is it a mask already?"
            )
        value = np.asarray(self.value, np.float32)
        if value.ndim:
            if len(value) != len(probabilities):
                raise ValueError(
                    f"Threshold has {len(value)} values for the {len(probabilities)} channels of {self.output!r}"
                )
            value = value.reshape(-1, *[1] * (probabilities.ndim - 1))
        return prediction | {self.result or self.output: probabilities > value}

    def search_space(self) -> dict[str, list]:
        """The threshold; each of several by itself."""
        shares = [round(0.05 * n, 2) for n in range(2, 19)]
        if not isinstance(self.value, list):
            return {"value": shares}
        return {f"value[{channel}]": shares for channel in range(len(self.value))}

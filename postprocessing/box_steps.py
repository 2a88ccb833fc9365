"""Steps for the boxes of one image; they run in the order of `competition.postprocess`.

RSNA pneumonia 2018, 1st place: box scores multiplied by those of a classifier, suppression at IoU 0.4, thresholds 0.2
and 0.15, boxes shrunk to 0.875 of their sides. Boxes are `(n, 6)`: x1, y1, x2, y2, score, label.
"""

from typing import Literal

import numpy as np

from masks.boxes import as_boxes, nms, shrink, soft_nms, weigh
from postprocessing.step import Step, factors, require_array


class BoxStep(Step):
    """Base class of steps for boxes.

    Args:
        output: name of the boxes `(n, 6)`.
    """

    output: str

    def boxes(self, prediction: dict[str, np.ndarray]) -> np.ndarray:
        """Boxes of an image, validated."""
        try:
            return as_boxes(require_array(prediction, self.output, self))
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {self.output!r}: {error}") from error

    def changed(self, prediction: dict[str, np.ndarray], boxes: np.ndarray) -> dict[str, np.ndarray]:
        """Prediction with its boxes replaced."""
        return prediction | {self.output: boxes.astype(np.float32)}


class MinimumScore(BoxStep):
    """Remove boxes whose score is not above a threshold.

    Args:
        value: score threshold, or one per label.
        output: name of the boxes `(n, 6)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import MinimumScore
        >>> boxes = np.array([[0, 0, 8, 8, 0.9, 0], [4, 4, 9, 9, 0.1, 0]], np.float32)  # x1, y1, x2, y2, score, label
        >>> MinimumScore(0.15)({"boxes": boxes})["boxes"].shape
        (1, 6)
    """

    def __init__(self, value: float | list[float] = 0.15, output: str = "boxes") -> None:
        self.value, self.output = value, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        boxes = self.boxes(prediction)
        least = np.asarray(self.value, float)
        if least.ndim:
            labels = boxes[:, 5].astype(int)
            if len(labels) and (labels.max() >= len(least) or labels.min() < 0):
                raise ValueError(
                    f"MinimumScore has {len(least)} values, but a box has label {labels.max()}; give one per label"
                )
            least = least[labels]
        return self.changed(prediction, boxes[boxes[:, 4] > least])

    def search_space(self) -> dict[str, list]:
        shares = [0.0, 0.01, 0.02, *(round(0.05 * n, 2) for n in range(1, 20))]
        if not isinstance(self.value, list):
            return {"value": shares}
        return {f"value[{place}]": shares for place in range(len(self.value))}


class NonMaximumSuppression(BoxStep):
    """Suppress overlapping boxes of the same label, or lower their scores.

    Args:
        iou: IoU from which boxes are suppressed (`hard`), or from which scores fall (`linear`).
        method: `hard` removes boxes; `linear` and `gaussian` are Soft-NMS (Bodla et al. 2017).
        sigma: width of the decay with `gaussian`.
        output: name of the boxes `(n, 6)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import NonMaximumSuppression
        >>> boxes = np.array([[0, 0, 8, 8, 0.5, 0], [0, 0, 8, 7, 0.75, 0], [20, 20, 30, 30, 0.5, 0]], np.float32)
        >>> NonMaximumSuppression(0.5)({"boxes": boxes})["boxes"]
        array([[ 0.  ,  0.  ,  8.  ,  7.  ,  0.75,  0.  ],
               [20.  , 20.  , 30.  , 30.  ,  0.5 ,  0.  ]], dtype=float32)
    """

    def __init__(
        self,
        iou: float = 0.5,
        method: Literal["hard", "linear", "gaussian"] = "hard",
        sigma: float = 0.5,
        output: str = "boxes",
    ) -> None:
        if not 0 <= iou <= 1 or sigma <= 0 or method not in ("hard", "linear", "gaussian"):
            raise ValueError(
                f"NonMaximumSuppression: iou {iou}, sigma {sigma}, method {method!r}; expected iou in 0..1, sigma "
                "above 0, method hard, linear or gaussian"
            )
        self.iou, self.method, self.sigma, self.output = iou, method, sigma, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        boxes = self.boxes(prediction)
        found = nms(boxes, self.iou) if self.method == "hard" else soft_nms(boxes, self.method, self.iou, self.sigma)
        return self.changed(prediction, found)

    def search_space(self) -> dict[str, list]:
        if self.method == "gaussian":
            return {"sigma": [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]}
        return {"iou": [round(0.05 * n, 2) for n in range(1, 17)]}


class ShrinkBoxes(BoxStep):
    """Scale boxes about their centre.

    Args:
        factor: scale of both sides; 0.875 removes a quarter of the area.
        output: name of the boxes `(n, 6)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import ShrinkBoxes
        >>> ShrinkBoxes(0.5)({"boxes": np.array([[0, 0, 8, 4, 0.5, 0]], np.float32)})["boxes"]
        array([[2. , 1. , 6. , 3. , 0.5, 0. ]], dtype=float32)
    """

    def __init__(self, factor: float = 0.875, output: str = "boxes") -> None:
        if not factor > 0:
            raise ValueError(f"ShrinkBoxes: factor is {factor}, expected a number above 0")
        self.factor, self.output = factor, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.changed(prediction, shrink(self.boxes(prediction), self.factor))

    def search_space(self) -> dict[str, list]:
        return {"factor": [0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 1.0, 1.05, 1.1]}


class MultiplyScores(BoxStep):
    """Multiply box scores by the image-level probabilities of a classifier.

    `ensemble` joins the output of a classifier and the boxes of a detector.

    Args:
        by: name of the image-level output: probabilities `(1,)`, or `(K,)` with one per label.
        power: exponent of the probability; 0 changes nothing, 1 multiplies.
        output: name of the boxes `(n, 6)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import MultiplyScores
        >>> boxes = np.array([[0, 0, 8, 8, 0.5, 0]], np.float32)
        >>> MultiplyScores(by="label")({"boxes": boxes, "label": np.array([0.5], np.float32)})["boxes"][:, 4]
        array([0.25], dtype=float32)
    """

    def __init__(self, by: str = "label", power: float = 1.0, output: str = "boxes") -> None:
        if power < 0:
            raise ValueError(f"MultiplyScores: power is {power}, expected 0 or more")
        self.by, self.power, self.output = by, power, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        boxes, says = self.boxes(prediction), factors(prediction, self.by, self)
        if len(says) == 1:
            return self.changed(prediction, weigh(boxes, float(says[0]) ** self.power))
        labels = boxes[:, 5].astype(int)
        if len(labels) and labels.max() >= len(says):
            raise ValueError(
                f"MultiplyScores: {self.by!r} has {len(says)} probabilities, but a box has label {labels.max()}"
            )
        boxes[:, 4] *= says[labels] ** self.power
        return self.changed(prediction, boxes)

    def search_space(self) -> dict[str, list]:
        return {"power": [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0]}

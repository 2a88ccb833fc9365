"""Connected components."""

from typing import Literal

import numpy as np

from masks.components import label
from postprocessing.step import Step, mask_map


class ConnectedComponents(Step):
    """Convert a mask to instances: its connected components.

    Args:
        source: name of the bool mask `(1, H, W)`.
        connectivity: 1 joins pixels at edges, 2 also at corners.
        result: name of the ids `(H, W)` int32.

    Example:
        >>> import numpy as np
        >>> from postprocessing import ConnectedComponents
        >>> mask = np.array([[[1, 1, 0, 0], [0, 0, 1, 0]]], bool)
        >>> ConnectedComponents()({"mask": mask})["instances"]
        array([[1, 1, 0, 0],
               [0, 0, 2, 0]], dtype=int32)
        >>> int(ConnectedComponents(connectivity=2)({"mask": mask})["instances"].max())
        1
    """

    def __init__(self, source: str = "mask", connectivity: Literal[1, 2] = 1, result: str = "instances") -> None:
        self.source, self.connectivity, self.result = source, connectivity, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return prediction | {self.result: label(mask_map(prediction, self.source, self), self.connectivity)}

    def search_space(self) -> dict[str, list]:
        return {"connectivity": [1, 2]}

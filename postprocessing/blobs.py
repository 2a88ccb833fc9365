"""Candidates from a blob detector."""

import numpy as np

from postprocessing.step import Step, require_array
from preprocessing.blobs import find_blobs


class Blobs(Step):
    """Detect round bright spots of a probability map as candidates ("Deep Breath", Data Science Bowl 2017).

    In a blurred output a connected component merges two nodules; a blob has its own centre and size. The result has the
    columns of `Clusters`, most probable first: centroid and peak are the centre of the blob, the size is that of a ball
    of its radius, in voxels.

    Args:
        min_sigma: standard deviation of the smallest blob, in mm (voxels without `spacing`).
        max_sigma: standard deviation of the largest blob, in mm.
        threshold: smallest response; a Gaussian blob of height 1 has 0.44 in 2-D and 0.50 in 3-D.
        spacing: voxel spacing along each axis in mm (default: `spacing` of the prediction, else 1).
        output: name of the probabilities `(1, D, H, W)`, `(D, H, W)`, or `(1, H, W)` for 2-D images.
        result: name of the candidates `(n, 4 D + 2)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Blobs
        >>> y, x = np.mgrid[:32, :32]
        >>> probabilities = np.exp(-((y - 10) ** 2 + (x - 20) ** 2) / (2 * 3**2)).astype(np.float32)  # sigma 3
        >>> candidates = Blobs()({"mask": probabilities[None]})["candidates"]
        >>> candidates[:, :2]  # centres y, x
        array([[10., 20.]])
    """

    def __init__(
        self,
        min_sigma: float = 1.0,
        max_sigma: float = 15.0,
        threshold: float = 0.1,
        spacing: list[float] | None = None,
        output: str = "mask",
        result: str = "candidates",
    ) -> None:
        self.min_sigma, self.max_sigma, self.threshold = min_sigma, max_sigma, threshold
        self.spacing, self.output, self.result = spacing, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        map_ = require_array(prediction, self.output, self)
        if map_.ndim in (3, 4) and len(map_) == 1:
            map_ = map_[0]
        if map_.dtype.kind != "f":
            raise ValueError(f"Blobs expects probabilities in {self.output!r}, got {map_.dtype} {map_.shape}")
        spacing = self.spacing if self.spacing is not None else prediction.get("spacing", np.ones(map_.ndim))
        spacing = np.asarray(spacing, np.float64)
        found = find_blobs(map_, self.min_sigma, self.max_sigma, self.threshold, spacing)
        ball = np.pi * found.radii**2 if map_.ndim == 2 else 4 / 3 * np.pi * found.radii**3
        places = found.centres.astype(np.float64)
        columns = [places, places, places * spacing, places * spacing]
        columns += [(ball / spacing.prod())[:, None], found.values.astype(np.float64)[:, None]]
        return prediction | {self.result: np.concatenate(columns, axis=1)}

    def search_space(self) -> dict[str, list]:
        return {"threshold": [0.02, 0.05, 0.1, 0.15, 0.2, 0.3]}

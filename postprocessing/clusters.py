"""Candidates from a probability map: nodules, lesions, cells."""

from typing import Literal

import numpy as np

from postprocessing.step import Step, require_array


class Clusters(Step):
    """Convert connected components above a threshold to candidates.

    The result is `(n, 4 D + 2)` float64, with D dimensions, largest component first:

    | columns | content |
    |---|---|
    | 0 … D - 1 | centroid in voxels, in the order of the axes (z, y, x) |
    | D … 2 D - 1 | most probable voxel |
    | 2 D … 3 D - 1 | centroid in mm: voxels × spacing, from the centre of voxel 0 |
    | 3 D … 4 D - 1 | most probable voxel in mm |
    | 4 D | size in voxels |
    | 4 D + 1 | largest probability |

    Args:
        value: probability threshold of components.
        min_size: smallest component to keep, in voxels.
        connectivity: number of neighbours of a voxel: 26 (volumes: faces, edges and corners), 18 (faces and edges),
            6 (faces); 8 and 4 for 2-D images.
        spacing: voxel spacing along each axis in mm (default: `spacing` `(D,)` of the prediction if present, else 1).
        output: name of the probabilities `(1, D, H, W)` or `(D, H, W)`; for 4 and 8 neighbours `(1, H, W)` or `(H, W)`.
        result: name of the candidates.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Clusters
        >>> probabilities = np.zeros((1, 8, 8, 8), np.float32)
        >>> probabilities[0, 2:5, 2:5, 2:5] = 0.9
        >>> candidates = Clusters(0.5)({"mask": probabilities})["candidates"]
        >>> candidates[0, :3], int(candidates[0, -2])  # centroid z, y, x; size in voxels
        (array([3., 3., 3.]), 27)
    """

    def __init__(
        self,
        value: float = 0.5,
        min_size: int = 10,
        connectivity: Literal[4, 8, 6, 18, 26] = 26,
        spacing: list[float] | None = None,
        output: str = "mask",
        result: str = "candidates",
    ) -> None:
        if min_size < 0:
            raise ValueError(f"Clusters: min_size is {min_size}, expected 0 or more voxels")
        if connectivity not in (4, 8, 6, 18, 26):
            raise ValueError(
                f"Clusters: connectivity is {connectivity}, expected 6, 18 or 26 for volumes, 4 or 8 for 2-D images"
            )
        if spacing is not None and (len(spacing) != (2 if connectivity in (4, 8) else 3) or min(spacing) <= 0):
            raise ValueError(f"Clusters: spacing is {spacing}, expected one number above 0 per axis")
        self.value, self.min_size, self.connectivity = value, min_size, connectivity
        self.spacing, self.output, self.result = spacing, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        dimensions = 2 if self.connectivity in (4, 8) else 3
        if probabilities.ndim == dimensions + 1 and len(probabilities) == 1:
            probabilities = probabilities[0]
        if probabilities.dtype.kind != "f" or probabilities.ndim != dimensions:
            raise ValueError(
                f"Clusters with {self.connectivity} neighbours expects {dimensions}-D probabilities in "
                f"{self.output!r}, got {probabilities.dtype} {probabilities.shape}"
            )
        spacing = self.spacing if self.spacing is not None else prediction.get("spacing", np.ones(dimensions))
        found = candidates(probabilities, self.value, self.min_size, self.connectivity, np.asarray(spacing, np.float64))
        return prediction | {self.result: found}

    def search_space(self) -> dict[str, list]:
        middle = self.min_size or 10
        sizes = {0, *(round(middle * factor) for factor in (0.25, 0.5, 1, 2, 4))}
        return {"value": [round(0.1 * n, 1) for n in range(1, 10)], "min_size": sorted(sizes)}


def candidates(
    probabilities: np.ndarray, value: float, min_size: int, connectivity: int, spacing: np.ndarray
) -> np.ndarray:
    """Candidates of a 2-D image or volume; arguments and result as in `Clusters`."""
    from scipy import ndimage

    dimensions = probabilities.ndim
    if spacing.shape != (dimensions,):
        raise ValueError(f"spacing is {spacing.tolist()}, expected {dimensions} distances in mm")
    faces = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[connectivity]
    labels, number = ndimage.label(probabilities > value, ndimage.generate_binary_structure(dimensions, faces))
    places = np.nonzero(labels)
    owners, inside = labels[places] - 1, probabilities[places]
    sizes = np.bincount(owners, minlength=number)
    centroids = np.stack([np.bincount(owners, axis, number) for axis in places], 1) / np.maximum(sizes, 1)[:, None]
    # Sorted by component, then by falling probability: the first of each component is its peak.
    order = np.lexsort((-inside, owners))
    peaks = order[np.searchsorted(owners[order], np.arange(number))]
    peak_places = np.stack([axis[peaks] for axis in places], 1).astype(np.float64)
    table = [centroids, peak_places, centroids * spacing, peak_places * spacing, sizes[:, None], inside[peaks][:, None]]
    kept = np.argsort(-sizes, kind="stable")
    kept = kept[sizes[kept] >= min_size]
    return np.concatenate(table, axis=1).astype(np.float64)[kept]

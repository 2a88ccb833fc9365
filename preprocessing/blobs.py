"""Blob detection by differences of Gaussians: candidates such as lung nodules, cells, stars."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Blobs(NamedTuple):
    """Blobs found by `find_blobs`, brightest centre first."""

    centres: np.ndarray  # (N, axes) in pixels or voxels, in the order of the array's axes
    sigmas: np.ndarray  # (N,) standard deviation of the Gaussian with the same response, mm (pixels without spacing)
    values: np.ndarray  # (N,) value of the array at the centre

    @property
    def radii(self) -> np.ndarray:
        """Radius `(N,)` of the solid disk or ball with the same response, in the unit of `sigmas`."""
        return np.sqrt(2) * self.sigmas


def find_blobs(
    array: np.ndarray,
    min_sigma: float = 1.0,
    max_sigma: float = 15.0,
    threshold: float = 0.1,
    spacing: Sequence[float] | np.ndarray | None = None,
    sigma_ratio: float = 1.25,
    overlap: float = 0.5,
) -> Blobs:
    """Find bright blobs on a dark background, by differences of Gaussians (Lowe, IJCV 2004).

    Blobs are local maxima over position and scale. "Deep Breath" (Data Science Bowl 2017, 9th place) found nodule
    centres this way in the output of its segmentation network. Uses `skimage.feature.blob_dog`, but returns the sigmas
    of the blobs (scikit-image returns those of its filters, which are smaller, in 3-D by a third).

    Args:
        array: `(H, W)`, `(D, H, W)` or any other number of axes; integers keep their values.
        min_sigma: sigma of the smallest blob, in the unit of `spacing`.
        max_sigma: sigma of the largest blob.
        threshold: minimum response. A Gaussian blob of height 1 has a response of 0.44 in 2-D, 0.50 in 3-D.
        spacing: length of a voxel along each axis, mm, in the order of the axes (default: 1). Blobs are round in
            millimetres.
        sigma_ratio: ratio of successive scales. The precision of sigma is half a step: 12 % for the default, 27 % for
            1.6 (Lowe's), which needs half the filters.
        overlap: maximum overlap with a larger blob, as a share of the volume; blobs above it are dropped.

    Raises:
        ValueError: if sizes or spacing are invalid, or the array contains NaN or infinity.
    """
    from skimage.feature import blob_dog

    steps = np.ones(array.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if steps.shape != (array.ndim,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ValueError(f"spacing is {spacing}, expected {array.ndim} lengths above 0, one per axis of {array.shape}")
    if not 0 < min_sigma <= max_sigma or not sigma_ratio > 1:
        raise ValueError(
            f"min_sigma {min_sigma}, max_sigma {max_sigma}, sigma_ratio {sigma_ratio}; expected 0 < min <= max, and a "
            "ratio above 1"
        )
    values = array.astype(np.float32)  # integers, or scikit-image divides them by the largest of their type
    if not np.isfinite(values).all():
        raise ValueError("array contains NaN or infinity; fill these values first")
    share = _filter_share(array.ndim, sigma_ratio)
    # One more scale at either end: a maximum cannot be at the first or last scale.
    smallest, largest = share * min_sigma / sigma_ratio / steps, share * max_sigma * sigma_ratio / steps
    found = blob_dog(values, smallest, largest, sigma_ratio, threshold, overlap, exclude_border=False)
    centres = found[:, : array.ndim].astype(np.int64)
    sigmas = found[:, array.ndim] * steps[0] / share
    inside = (sigmas >= min_sigma / np.sqrt(sigma_ratio)) & (sigmas <= max_sigma * np.sqrt(sigma_ratio))
    centres, sigmas = centres[inside], sigmas[inside]
    heights = array[tuple(centres.T)]
    order = np.argsort(-heights.astype(np.float64), kind="stable")
    return Blobs(centres[order], sigmas[order], heights[order])


def _filter_share(axes: int, ratio: float) -> float:
    """Return the sigma of the filter with the strongest response to a Gaussian blob, as a share of the blob's sigma.

    The response of a Gaussian of sigma 1 to the difference of filters s and ratio * s is
    (1 + s²)^(-n/2) - (1 + ratio² s²)^(-n/2) at its centre, which is largest where
    (1 + ratio² s²) / (1 + s²) = ratio^(4 / (n + 2)).
    """
    power = ratio ** (4 / (axes + 2))
    return float(np.sqrt((power - 1) / (ratio**2 - power)))

"""Blobs by differences of Gaussians: candidates such as lung nodules, cells, stars."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Blobs(NamedTuple):
    """What `find_blobs` found, strongest contrast first."""

    centres: np.ndarray  # (N, axes) in pixels or voxels, in the order of the array's axes
    sigmas: np.ndarray  # (N,) standard deviation of the Gaussian that answers alike, mm (pixels without spacing)
    values: np.ndarray  # (N,) of the array at the centre

    @property
    def radii(self) -> np.ndarray:
        """Radius `(N,)` of the solid disk or ball that answers alike, in the unit of `sigmas`."""
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
    """Bright blobs on dark ground: local maxima, over place and scale, of differences of Gaussians (Lowe, IJCV 2004).

    "Deep Breath" (Data Science Bowl 2017, 9th place) took nodule centres so from the output of its segmentation
    network. `skimage.feature.blob_dog` does the work; sigmas are the blob's own here (scikit-image gives those of its
    filter, which are smaller, in 3-D by a third).

    Args:
        array: `(H, W)`, `(D, H, W)` or any other number of axes; integers keep their values.
        min_sigma: of the smallest blob, in the unit of `spacing`.
        max_sigma: of the largest blob.
        threshold: smallest response. A Gaussian blob of height 1 answers with 0.44 in 2-D, 0.50 in 3-D.
        spacing: length of a voxel along each axis, mm, in the order of the axes; voxels unless given. Blobs are then
            round in millimetres.
        sigma_ratio: between one scale and the next; sigma is known to half a step, here 12 %. 1.6 (Lowe's) takes half
            the filters and knows it to 27 %.
        overlap: a blob that overlaps a larger one by more than this share of its volume is dropped.

    Raises:
        ValueError: sizes or spacing that make no sense, or a NaN in the array.
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
        raise ValueError("the array holds NaN or infinity; fill it first")
    share = _filter_share(array.ndim, sigma_ratio)
    # One scale more on either side: an end of the scales is no maximum.
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
    """Sigma of the filter that answers strongest to a Gaussian blob, as a share of the blob's own.

    A Gaussian of sigma 1 answers to the difference of filters s and ratio * s with
    (1 + s²)^(-n/2) - (1 + ratio² s²)^(-n/2) at its centre, which is largest where
    (1 + ratio² s²) / (1 + s²) = ratio^(4 / (n + 2)).
    """
    power = ratio ** (4 / (axes + 2))
    return float(np.sqrt((power - 1) / (ratio**2 - power)))

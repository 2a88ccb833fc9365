"""Features of one object for a second-level model: its shape, the probabilities inside, its neighbours."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ensembling.stacking.objects import Objects

RADII = (50, 100, 150, 200)  # pixels around an object to count neighbours, as in the winning solution
NEAREST = 3
QUANTILES = (0.1, 0.5, 0.9)
SHAPE = [
    "area",
    "share_of_object",
    "height",
    "width",
    "aspect",
    "convex_area",
    "solidity",
    "eccentricity",
    "extent",
    "perimeter",
    "major",
    "minor",
    "roundness",
    "axes_ratio",
    "orientation",
    "diameter",
    "euler",
    "compactness",
    "at_border",
    "hu1",
    "hu2",
    "hu3",
]
INSIDE = ("mean", "std", "low", "median", "high", "rim", "core", "around")
NEIGHBOURS = [
    "objects",
    "image_area_median",
    "area_to_median",
    "covered",
    "distance1",
    "distance2",
    "distance3",
    "size1",
    "size2",
    "size3",
    "touching",
]
SPLITS = ("level", "parts")


def feature_names(maps: Sequence[str]) -> list[str]:
    """Column names of `features`."""
    inside = [f"{name}_{what}" for name in maps for what in INSIDE]
    within = [f"{what}_{radius}" for radius in RADII for what in ("near", "area_near", "area_to_near")]
    return [*SHAPE, *inside, *NEIGHBOURS, *within, *SPLITS]


def features(objects: Objects, maps: dict[str, np.ndarray]) -> np.ndarray:
    """Compute the features of every object and part.

    Args:
        objects: objects of an image.
        maps: probability maps `(H, W)` by name.

    Returns:
        `(objects.count, F)` float32, finite, with the columns `feature_names(list(maps))`. Neighbours are the other
        unsplit objects; a part has those of its object.
    """
    from skimage.measure import regionprops

    names, base = feature_names(list(maps)), objects.labels[0]
    if not objects.count:
        return np.zeros((0, len(names)), np.float32)
    around = _neighbours(base)
    areas = np.bincount(base.ravel())[1:].astype(float)
    levels = [np.bincount(parent, minlength=len(areas)) for parent in objects.parent]
    rows = []
    for level, (labels, parent) in enumerate(zip(objects.labels, objects.parent, strict=True)):
        for region in regionprops(labels):
            own = int(parent[region.label - 1])
            rows.append(
                [
                    *_shape(region, areas[own], labels.shape),
                    *_inside(region, maps.values(), labels),
                    *around[own],
                    level,
                    levels[level][own],
                ]
            )
    return np.nan_to_num(np.array(rows, np.float32), posinf=0, neginf=0)


def _shape(region: Any, parent_area: float, size: tuple[int, int]) -> list[float]:
    """`SHAPE` of a scikit-image region; lengths in pixels."""
    top, left, bottom, right = region.bbox
    height, width, area = bottom - top, right - left, region.area
    major, minor, perimeter = region.axis_major_length, region.axis_minor_length, region.perimeter
    hull = region.area_convex if min(height, width) > 1 else area  # a line has no hull of its own
    return [
        area,
        area / parent_area,
        height,
        width,
        min(height, width) / max(height, width),
        hull,
        area / hull,
        region.eccentricity,
        region.extent,
        perimeter,
        major,
        minor,
        4 * area / (math.pi * major**2) if major > 0 else 1.0,
        minor / major if major > 0 else 1.0,
        abs(region.orientation),
        region.equivalent_diameter_area,
        region.euler_number,
        perimeter**2 / (4 * math.pi * area),
        top == 0 or left == 0 or bottom == size[0] or right == size[1],
        *region.moments_hu[:3],
    ]


def _inside(region: Any, maps: Iterable[np.ndarray], labels: np.ndarray) -> list[float]:
    """`INSIDE` of every probability map."""
    from scipy.ndimage import binary_erosion

    top, left, bottom, right = region.bbox
    core = binary_erosion(region.image)  # pixels outside the box are background
    rim = region.image & ~core
    window = slice(max(0, top - 2), bottom + 2), slice(max(0, left - 2), right + 2)
    outside = labels[window] == 0
    places = [round(share * (np.count_nonzero(region.image) - 1)) for share in QUANTILES]
    result = []
    for values in maps:
        inside, around = values[region.slice], values[window][outside]
        own = np.sort(inside[region.image])
        mean = own.mean()
        result += [mean, own.std(), *own[places], inside[rim].mean()]
        result += [inside[core].mean() if core.any() else mean, around.mean() if around.size else 0.0]
    return result


def _neighbours(labels: np.ndarray) -> np.ndarray:
    """`NEIGHBOURS` and the counts within `RADII` of every object `(n, F)`."""
    from scipy.spatial import cKDTree

    count = int(labels.max())
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(float)
    rows, columns = np.indices(labels.shape)
    flat = labels.ravel()
    centres = np.stack([np.bincount(flat, axis.ravel(), count + 1)[1:] / areas for axis in (rows, columns)], axis=1)
    tree, median = cKDTree(centres), np.median(areas)
    far = math.hypot(*labels.shape)  # for objects without a neighbour
    distance, place = tree.query(centres, k=range(2, NEAREST + 2))
    lonely = np.isinf(distance)
    sizes = np.where(lonely, 0, areas[np.where(lonely, 0, place)] / areas[:, None])
    general = [
        np.full(count, count),
        np.full(count, median),
        areas / median,
        np.full(count, (labels > 0).mean()),
        *np.where(lonely, far, distance).T,
        *sizes.T,
        _touching(labels, count),
    ]
    for radius in RADII:
        near = tree.query_ball_point(centres, radius)
        middle = np.array([np.median(areas[one]) for one in near])
        general += [np.array([len(one) for one in near]), middle, areas / middle]
    return np.stack(general, axis=1)


def _touching(labels: np.ndarray, count: int) -> np.ndarray:
    """Number of objects that share a pixel edge with each `(n,)`."""
    pairs = np.concatenate(
        [
            np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1),
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1),
        ]
    )
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (pairs > 0).all(axis=1)]
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return np.bincount(pairs.ravel(), minlength=count + 1)[1:]

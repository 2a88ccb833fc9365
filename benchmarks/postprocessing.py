"""Steps on masks against what the scikit-image manual and SciPy do: small objects, holes, touching objects."""

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from benchmarks.measure import Report, compare
from postprocessing import DistanceWatershed
from postprocessing.area import large_components
from postprocessing.holes import filled


def blobs(side: int, seed: int = 0) -> np.ndarray:
    """A ragged mask with about two thousand components a megapixel."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 3)
    return noise > 0.5 * noise.std()


def discs(side: int, seed: int = 0) -> tuple[np.ndarray, int]:
    """Discs of 8 to 14 pixels anywhere, some of them touching, and how many there are: 500 on 1024²."""
    random, mask, placed = np.random.default_rng(seed), np.zeros((side, side), bool), np.empty((0, 3))
    rows, columns = np.mgrid[-14:15, -14:15]
    while len(placed) < 500 * side**2 // 1024**2:
        row, column = random.integers(16, side - 16, 2)
        radius = random.uniform(8, 14)
        apart = np.hypot(placed[:, 0] - row, placed[:, 1] - column)
        if (apart < 0.85 * (placed[:, 2] + radius)).any():
            continue
        placed = np.vstack([placed, (row, column, radius)])
        mask[row - 14 : row + 15, column - 14 : column + 15] |= rows**2 + columns**2 <= radius**2
    return mask, len(placed)


def recipe(mask: np.ndarray) -> np.ndarray:
    """The manual's: Euclidean distance, its peaks as markers, watershed."""
    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, footprint=np.ones((15, 15)), labels=label(mask))
    markers = np.zeros(mask.shape, bool)
    markers[tuple(peaks.T)] = True
    return watershed(-distance, ndimage.label(markers)[0], mask=mask)


def main() -> None:
    report = Report("postprocessing", ["scikit-image", "scipy", "opencv-python-headless", "numpy"])
    split = DistanceWatershed(distance=7)
    found = []
    for side in (1024, 2048):
        mask, (touching, count) = blobs(side), discs(side)
        components = int(label(mask, connectivity=1).max())
        report.add(
            f"remove objects below 64 pixels, {side}², {components} objects",
            compare(
                {
                    "scikit-image": lambda mask=mask: remove_small_objects(mask, max_size=63),
                    "ours": lambda mask=mask: large_components(mask, 64),
                },
                "scikit-image",
            ),
        )
        report.add(
            f"fill holes, {side}²",
            compare(
                {"scipy": lambda mask=mask: ndimage.binary_fill_holes(mask), "ours": lambda mask=mask: filled(mask)},
                "scipy",
            ),
        )
        report.add(
            f"split {count} discs, some touching, {side}²",
            compare(
                {"recipe": lambda mask=touching: recipe(mask), "ours": lambda mask=touching: split.split(mask)},
                "recipe",
            ),
        )
        found.append(
            f"{side}²: {count} discs, the recipe finds {recipe(touching).max()}, ours {split.split(touching).max()}"
        )
        same = np.array_equal(large_components(mask, 64), remove_small_objects(mask, max_size=63))
        if not same or not np.array_equal(filled(mask), ndimage.binary_fill_holes(mask)):
            raise SystemExit("a step differs from its reference")
    for line in ("", *(f"{line}." for line in found)):
        report.line(line)
    report.save()


if __name__ == "__main__":
    main()

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

ROUNDS = 7  # medians of so many pairs


def blobs(side: int, blur: float, seed: int = 0) -> np.ndarray:
    """A mask of blobs with holes: about 600 on 1024² with a blur of 5.2 pixels, 1700 ragged ones with 3."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), blur)
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


def noise_of(side: int = 1024) -> float:
    """Spread of a share of times that should be 1: the same work against itself, in percent."""
    mask = blobs(side, 5.2)
    twice = compare({"one": lambda: filled(mask), "other": lambda: filled(mask)}, "one", ROUNDS)
    return 100 * abs(twice["other"].cpu_ratio - 1)


def main() -> None:
    report = Report("postprocessing", ["scikit-image", "scipy", "opencv-python-headless", "numpy"])
    split = DistanceWatershed(distance=7)
    found = []
    for side, blur in ((1024, 5.2), (1024, 3), (2048, 5.2)):
        mask = blobs(side, blur)
        work = f"{side}², {label(mask, connectivity=1).max()} objects"
        small = {
            "scikit-image": lambda mask=mask: remove_small_objects(mask, max_size=63),
            "ours": lambda mask=mask: large_components(mask, 64),
        }
        holes = {"scipy": lambda mask=mask: ndimage.binary_fill_holes(mask), "ours": lambda mask=mask: filled(mask)}
        for calls in (small, holes):
            theirs, ours = (call() for call in calls.values())
            if not np.array_equal(theirs, ours):
                raise SystemExit(f"{side}²: a step differs from {next(iter(calls))}")
        report.add(f"remove objects below 64 pixels, {work}", compare(small, "scikit-image", ROUNDS))
        report.add(f"fill holes, {work}", compare(holes, "scipy", ROUNDS))
    for side in (1024, 2048):
        mask, count = discs(side)
        calls = {"recipe": lambda mask=mask: recipe(mask), "ours": lambda mask=mask: split.split(mask)}
        report.add(f"split {count} discs, some touching, {side}²", compare(calls, "recipe", ROUNDS))
        theirs, ours = (len(np.unique(call())) - 1 for call in calls.values())
        found.append(f"{side}²: {count} discs in {label(mask).max()} pieces, the recipe finds {theirs}, ours {ours}.")
    report.line("")
    for line in found:
        report.line(line)
    report.line(f"The same work against itself differs by {noise_of():.1f} % CPU here.")
    report.save()


if __name__ == "__main__":
    main()

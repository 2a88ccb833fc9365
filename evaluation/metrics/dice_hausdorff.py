"""Dice of slices and Hausdorff distance of volumes: UW-Madison GI tract."""

import re
import zlib
from typing import NamedTuple

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, as_row
from evaluation.metrics.dice import dice
from evaluation.metrics.overlap import counts, masks, mean
from evaluation.void import nothing_counts

MANY = 500_000  # points, above which a distance transform of the volume is faster than a search for each


class Slice(NamedTuple):
    """One image and its position in a volume.

    Attributes:
        volume: name of the volume.
        number: number of the slice.
        size: `(H, W)`.
        dice: Dice of each class `(C,)` float64.
        predicted: predicted mask `(C, H, W)`, packed.
        true: true mask `(C, H, W)`, packed.
        counts: whether any pixel is valid.
    """

    volume: str
    number: int
    size: tuple[int, int]
    dice: np.ndarray
    predicted: bytes
    true: bytes
    counts: bool


class DiceHausdorff(CompetitionMetric):
    """0.4 × mean Dice of slices + 0.6 × mean 1 - Hausdorff distance of volumes (UW-Madison GI tract 2022).

    Both means run over the classes too.
    The slices of a case and day are stacked, one voxel deep each, as on the competition's page. The distance of two
    masks is the largest distance from a voxel of one to the nearest of the other, divided by the diagonal of the
    volume, so that it is in 0..1 (the page only says "normalized by image size"). It is 0 if both masks are empty, and
    1 if one is. Slices and volumes without any valid pixel are excluded.

    Args:
        volume: regular expression whose match in the image id names the volume (its first group, if it has one).
        number: regular expression whose first group is the slice number.
        dice_weight: weight of Dice in the score (default: the competition's 0.4); Hausdorff has the rest.
        empty: Dice of a slice with empty target and prediction (default: 0, as on the competition's page). `.nan`
            excludes such slices; more than half of the slices are empty, so its best scores, near 0.89, cannot have
            counted them as 0.
        output: name of the bool mask `(C, H, W)` in the post-processed prediction.
        target: name of the mask in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import DiceHausdorff
        >>> mask = np.zeros((1, 8, 8), bool)
        >>> mask[:, 2:6, 2:6] = True
        >>> metric = DiceHausdorff()
        >>> ids = ("case1_day0_slice_0001", "case1_day0_slice_0002")  # two slices of one volume
        >>> rows = [metric.row(image_id, {"mask": mask}, {"mask": mask}) for image_id in ids]
        >>> metric.reduce(np.stack(rows))
        1.0
    """

    def __init__(
        self,
        volume: str = r"^case\d+_day\d+",
        number: str = r"slice_(\d+)",
        dice_weight: float = 0.4,
        empty: float = 0.0,
        output: str = "mask",
        target: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dice_weight <= 1:
            raise ValueError(f"DiceHausdorff: dice_weight is {dice_weight}, expected 0 to 1")
        if re.compile(number).groups < 1:
            raise ValueError(
                f"DiceHausdorff: number {number!r} has no group for the slice number, such as slice_(\\d+)"
            )
        self.volume, self.number, self.dice_weight, self.empty = volume, number, dice_weight, empty
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        """Row of a volume of this single slice; `placed` fills in the volume."""
        counted = counts(prediction, targets, self.output, self.target, None, None)
        predicted, true = masks(prediction[self.output], self.output), masks(targets[self.target], self.target)
        known = not nothing_counts(targets)
        scores = dice(counted, self.empty if known else np.nan)
        return as_row(Slice("", 0, predicted.shape[1:], scores, _packed(predicted), _packed(true), known))

    def placed(self, row: np.ndarray, image_id: str) -> np.ndarray:
        name, number = re.search(self.volume, image_id), re.search(self.number, image_id)
        if name is None or number is None:
            pattern = self.volume if name is None else self.number
            raise ValueError(
                f"DiceHausdorff: {pattern!r} does not match image id {image_id!r}; set "
                f"{'volume' if name is None else 'number'}"
            )
        place = {"volume": name.group(1) if name.re.groups else name.group(), "number": int(number.group(1))}
        return as_row(row[0]._replace(**place))

    def units(self, rows: np.ndarray) -> np.ndarray:
        """A row per volume, `(V, 3 C)`: sum and number of slice Dice scores, and 1 - distance, of each class."""
        if rows.dtype != object:
            return rows
        volumes: dict[str, list[Slice]] = {}
        for (one,) in rows:
            volumes.setdefault(one.volume, []).append(one)
        return np.stack([_unit(volumes[name]) for name in sorted(volumes)])

    def reduce(self, rows: np.ndarray) -> float:
        by_class = self._sums(rows)
        slices = by_class[1].sum()
        dices = by_class[0].sum() / slices if slices else float("nan")
        return float(self.dice_weight * dices + (1 - self.dice_weight) * mean(by_class[2]))

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        total, slices, near = self._sums(rows)
        dices = np.divide(total, slices, out=np.full(len(total), np.nan), where=slices > 0)
        return self.dice_weight * dices + (1 - self.dice_weight) * near

    def _sums(self, rows: np.ndarray) -> np.ndarray:
        """Sum of Dice, number of slices, and mean of 1 - distance of each class: `(3, C)`."""
        units = self.units(rows)
        by_class = units.reshape(len(units), 3, -1)
        near = [mean(column) for column in by_class[:, 2].T]
        return np.stack([by_class[:, 0].sum(0), by_class[:, 1].sum(0), near])


def _packed(mask: np.ndarray) -> bytes:
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def _unit(slices: list[Slice]) -> np.ndarray:
    size, name = slices[0].size, slices[0].volume
    if any(one.size != size for one in slices):
        raise ValueError(
            f"slices of volume {name!r} have sizes {sorted({one.size for one in slices})}, expected one size"
        )
    numbers = [one.number for one in slices]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"slice {max(numbers, key=numbers.count)} of volume {name!r} is repeated")
    dices = np.array([one.dice for one in slices])
    classes, first = dices.shape[1], min(numbers)
    shape = (classes, max(numbers) - first + 1, *size)
    predicted, true = np.zeros(shape, bool), np.zeros(shape, bool)
    for one in slices:
        for volume, packed in ((predicted, one.predicted), (true, one.true)):
            bits = np.frombuffer(zlib.decompress(packed), np.uint8)
            volume[:, one.number - first] = np.unpackbits(bits, count=classes * size[0] * size[1]).reshape(-1, *size)
    diagonal = float(np.linalg.norm(shape[1:]))
    near: list[float] = []
    for own, wanted in zip(predicted, true, strict=True):
        distance = hausdorff(own, wanted)
        near.append(1 - min(distance / diagonal, 1) if np.isfinite(distance) else 0.0)
    near = near if any(one.counts for one in slices) else [np.nan] * classes
    there = ~np.isnan(dices)
    return np.concatenate([np.where(there, dices, 0).sum(0), there.sum(0), near])


def hausdorff(one: np.ndarray, other: np.ndarray) -> float:
    """Hausdorff distance in voxels of two bool masks of equal shape; 0 if both are empty, inf if one is."""
    if not one.any() or not other.any():
        return 0.0 if one.any() == other.any() else float("inf")
    # Crop to the bounding box of both.
    box = tuple(
        slice(places.min(), places.max() + 1) for places in (np.flatnonzero(line) for line in _extent(one | other))
    )
    one, other = one[box], other[box]
    return max(_farthest(one, other), _farthest(other, one))


def _extent(mask: np.ndarray) -> list[np.ndarray]:
    axes = range(mask.ndim)
    return [np.asarray(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]


def _farthest(one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance from a voxel of `one` to the nearest of `other`."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    outside = one & ~other
    points = np.count_nonzero(outside)
    if not points:
        return 0.0
    if points > MANY:
        return float(distance_transform_edt(~other)[outside].max())
    # The nearest voxel is on the boundary of the mask.
    padded = np.pad(other, 1)
    inner = np.ones(other.shape, bool)
    for axis in range(other.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[(slice(1, -1),) * other.ndim]
    return float(cKDTree(np.argwhere(other & ~inner)).query(np.argwhere(outside))[0].max())

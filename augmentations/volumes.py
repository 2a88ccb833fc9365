"""Isometries of volumes: rotations and flips without interpolation."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from augmentations.base import Augmentation, spatial


class Isometry(NamedTuple):
    """An order of axes, and which of the new axes (slice, row, column) are flipped."""

    order: tuple[int, int, int]
    mirrored: tuple[bool, bool, bool]

    @property
    def mirror_image(self) -> bool:
        """Whether it is a reflection, which swaps left and right."""
        swaps = sum(self.order[a] > self.order[b] for a, b in itertools.combinations(range(3), 2))
        return bool((swaps + sum(self.mirrored)) % 2)

    def apply(self, volume: Tensor) -> Tensor:
        """Transform a volume `(…, D, H, W)`."""
        first = volume.dim() - 3
        moved = volume.permute(*range(first), *(first + axis for axis in self.order))
        return moved.flip([first + axis for axis in range(3) if self.mirrored[axis]])

    def inverse(self) -> "Isometry":
        """The inverse isometry."""
        order = tuple(self.order.index(axis) for axis in range(3))
        return Isometry(order, tuple(self.mirrored[order[axis]] for axis in range(3)))


CUBE = [
    Isometry(order, mirrored)
    for order in itertools.permutations(range(3))
    for mirrored in itertools.product((False, True), repeat=3)
]
IN_PLANE = [isometry for isometry in CUBE if isometry.order[0] == 0 and not isometry.mirrored[0]]


class CubeIsometries(Augmentation):
    """A random one of the 48 isometries of a cube (dhammack, Data Science Bowl 2017), or of the 8 within slices.

    Axes are only swapped if the patch has equal sides along them.

    Args:
        p: probability per sample, in [0, 1].
        rotations_only: whether to use only the 24 (4) rotations, for objects with a left and a right.
        spacing: spacing of (slice, row, column) in mm; if that of slices differs from that of rows, only isometries
            within slices are used. None uses all 48, for volumes resampled to one spacing.
    """

    def __init__(self, p: float = 1.0, rotations_only: bool = False, spacing: list[float] | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"CubeIsometries: p is {p}, expected a probability in [0, 1]")
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise ValueError(f"CubeIsometries: spacing is {spacing}, expected [slice, row, column] in millimetres")
        self.p, self.rotations_only, self.spacing = p, rotations_only, spacing

    def allowed(self, size: tuple[int, ...]) -> list[Isometry]:
        """The isometries that preserve the size `(D, H, W)` of a patch and its spacing."""
        spacing = self.spacing or [1.0, 1.0, 1.0]
        found = CUBE if spacing[0] == spacing[1] == spacing[2] else IN_PLANE
        alike = [isometry for isometry in found if all(size[a] == size[b] for b, a in enumerate(isometry.order))]
        alike = [i for i in alike if all(spacing[a] == spacing[b] for b, a in enumerate(i.order))]
        return [isometry for isometry in alike if not (self.rotations_only and isometry.mirror_image)]

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images: Tensor = batch["image"]
        if images.dim() != 5:
            raise ValueError(
                f"CubeIsometries: expected volumes (N, C, D, H, W), got {tuple(images.shape)}; see Geometry"
            )
        allowed = self.allowed(tuple(images.shape[2:]))
        drawn = rng.integers(len(allowed), size=len(images))
        chosen = [allowed[number] if rng.random() < self.p else CUBE[0] for number in drawn]
        moved = {
            name: torch.stack([isometry.apply(value) for isometry, value in zip(chosen, batch[name], strict=True)])
            for name in ("image", *spatial(batch))
        }
        return batch | moved

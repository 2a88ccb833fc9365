"""A network for cubes, applied to volumes by a sliding window."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SlidingCubes(nn.Module):
    """Classifies cubes, and volumes cube by cube: a map with one value every `stride` voxels.

    In training, a batch of cubes of exactly `size` goes through the network unchanged. From a larger volume, padded by
    repeating its border, a cube is cut around the centre of each block of `stride` voxels and predicted separately, so
    that each value is the network's output for that cube: a network with padding such as C3D, applied to the volume at
    once, would see other context. `model.inference.tile` limits memory, with `model.inference.stride` a multiple of
    this `stride`.

    Args:
        network: network that maps `(n, C, size, size, size)` to logits `(n, K)` or `(n, K, 1, 1, 1)`, or a tuple of
            these.
        size: side of the cubes in voxels, or one per axis (slices, rows, columns); 32 for nodules at 1 mm.
        stride: step between cubes in voxels, or one per axis, at most `size`; 12 for nodules.
        batch_size: number of cubes per forward pass.

    Raises:
        ValueError: a stride is above the size, or a side of the volume is not a multiple of the stride.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int | list[int] = 32,
        stride: int | list[int] = 12,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        self.network, self.batch_size = network, batch_size
        self.size = tuple(size) if isinstance(size, list) else (size,) * 3
        self.stride = tuple(stride) if isinstance(stride, list) else (stride,) * 3
        if len(self.size) != 3 or len(self.stride) != 3 or min(self.stride) < 1:
            raise ValueError(f"SlidingCubes: size is {size} and stride {stride}, expected one number or three each")
        if any(step > side for step, side in zip(self.stride, self.size, strict=True)):
            raise ValueError(f"SlidingCubes: stride {stride} is above size {size}, voxels would be skipped")

    def forward(self, volume: Tensor) -> Tensor | tuple[Tensor, ...]:
        """`(N, C, D, H, W)` -> logits `(N, K)` for cubes, else `(N, K, D / stride, H / stride, W / stride)`."""
        sides = tuple(volume.shape[2:])
        if sides == self.size:
            found = self.network(volume)
            return tuple(map(_flat, found)) if isinstance(found, tuple) else _flat(found)
        if any(side % step for side, step in zip(sides, self.stride, strict=True)):
            raise ValueError(
                f"SlidingCubes: the volume has {sides} voxels, expected multiples of the stride {self.stride}; set "
                "model.inference.stride to this stride"
            )
        counts = [side // step for side, step in zip(sides, self.stride, strict=True)]
        # Half of the difference between cube and block is on either side of the block.
        fronts = [(size - step) // 2 for size, step in zip(self.size, self.stride, strict=True)]
        backs = [size - step - front for size, step, front in zip(self.size, self.stride, fronts, strict=True)]
        around = [pad for pair in zip(reversed(fronts), reversed(backs), strict=True) for pad in pair]
        padded = F.pad(volume, around, mode="replicate")
        places = list(itertools.product(*(range(count) for count in counts)))
        at_once = max(1, self.batch_size // len(volume))
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, len(places), at_once):
            cubes = [self._cube(padded, place) for place in places[start : start + at_once]]
            found = self.network(torch.cat(cubes))
            found = found if isinstance(found, tuple) else (found,)
            # (places, N, K): cubes are ordered by place, then by image
            parts.append(tuple(_flat(value).unflatten(0, (len(cubes), -1)) for value in found))
        maps = tuple(torch.cat(values).permute(1, 2, 0).unflatten(2, counts) for values in zip(*parts, strict=True))
        return maps if len(maps) > 1 else maps[0]

    def _cube(self, padded: Tensor, place: tuple[int, ...]) -> Tensor:
        z, y, x = (number * step for number, step in zip(place, self.stride, strict=True))
        return padded[:, :, z : z + self.size[0], y : y + self.size[1], x : x + self.size[2]]


def _flat(logits: Tensor) -> Tensor:
    """Reshape `(n, K)` or `(n, K, 1, 1, 1)` to `(n, K)`."""
    if logits.ndim > 2 and set(logits.shape[2:]) != {1}:
        raise ValueError(
            f"SlidingCubes: the network returned {tuple(logits.shape)} for a cube, expected (n, K); set `size` to the "
            "size of its training cubes"
        )
    return logits.flatten(1)

"""A network for cubes, slid over whole volumes."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SlidingCubes(nn.Module):
    """Classifies cubes, and whole volumes cube by cube: a map with one value every `stride` voxels.

    A batch of cubes of exactly `size` goes through the network as it is, for training. Of anything larger every cube
    is cut out around the centre of each block of `stride` voxels (beyond the edges the volume is continued by its
    border) and predicted by itself, so that each value is exactly what the network says to that cube: a padded network
    such as C3D, applied to the whole volume at once, would see other surroundings. `model.inference.tile` bounds the
    memory, with `stride` (of `inference`) a multiple of this one.

    Args:
        network: takes `(n, C, size, size, size)`, returns logits `(n, K)`, or several of them as a tuple; places of
            one (`(n, K, 1, 1, 1)`) are as good.
        size: side of the cubes in voxels, or one per axis (slices, rows, columns). 32 found nodules at 1 mm.
        stride: voxels from one cube to the next, or one per axis; 12 there. Not above `size`.
        batch_size: cubes in one forward.

    Raises:
        ValueError: a stride above the size; a volume whose sides are no multiples of the stride.
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
            raise ValueError(f"SlidingCubes: stride {stride} is above size {size}, voxels would be passed over")

    def forward(self, volume: Tensor) -> Tensor | tuple[Tensor, ...]:
        """`(N, C, D, H, W)` -> logits `(N, K)` of cubes, or `(N, K, D / stride, H / stride, W / stride)`."""
        sides = tuple(volume.shape[2:])
        if sides == self.size:
            found = self.network(volume)
            return tuple(map(_flat, found)) if isinstance(found, tuple) else _flat(found)
        if any(side % step for side, step in zip(sides, self.stride, strict=True)):
            raise ValueError(
                f"SlidingCubes: the volume has {sides} voxels, no multiples of the stride {self.stride}; set "
                "model.inference.stride to it"
            )
        counts = [side // step for side, step in zip(sides, self.stride, strict=True)]
        # Half of what a cube is larger than its block lies on either side.
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
            # (places, N, K): the places of one output are gathered before the images are told apart
            parts.append(tuple(_flat(value).unflatten(0, (len(cubes), -1)) for value in found))
        maps = tuple(torch.cat(values).permute(1, 2, 0).unflatten(2, counts) for values in zip(*parts, strict=True))
        return maps if len(maps) > 1 else maps[0]

    def _cube(self, padded: Tensor, place: tuple[int, ...]) -> Tensor:
        z, y, x = (number * step for number, step in zip(place, self.stride, strict=True))
        return padded[:, :, z : z + self.size[0], y : y + self.size[1], x : x + self.size[2]]


def _flat(logits: Tensor) -> Tensor:
    """`(n, K)` of `(n, K)` or `(n, K, 1, 1, 1)`."""
    if logits.ndim > 2 and set(logits.shape[2:]) != {1}:
        raise ValueError(
            f"SlidingCubes: the network returned {tuple(logits.shape)} for a cube, expected (n, K); set `size` to the "
            "cube it was trained on"
        )
    return logits.flatten(1)

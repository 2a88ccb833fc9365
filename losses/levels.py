"""Outputs at several resolutions, and targets resized to them."""

from torch import Tensor
from torch.nn import functional as F


def levels_of(value: Tensor | list[Tensor] | tuple[Tensor, ...]) -> list[Tensor] | tuple[Tensor, ...]:
    """The levels of an output, from fine to coarse; most outputs have one."""
    return value if isinstance(value, list | tuple) else [value]


def resize_target(target: Tensor, logits: Tensor) -> Tensor:
    """A target resized to a coarser output by nearest neighbour."""
    size = logits.shape[2:]
    if target.shape[-len(size) :] == size:
        return target
    channels = target.dim() == logits.dim()
    shaped = target if channels else target.unsqueeze(1)
    small = F.interpolate(shaped.double(), size=size, mode="nearest").to(target.dtype)
    return small if channels else small.squeeze(1)


def is_whole_fraction(logits: Tensor, target: Tensor) -> bool:
    """Whether the target's size is a multiple of the output's; any other size is a mistake."""
    sides = logits.shape[2:]
    if not sides or logits.dim() - target.dim() not in (0, 1):
        return False
    return all(whole % side == 0 for whole, side in zip(target.shape[-len(sides) :], sides, strict=True))

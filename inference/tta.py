"""Test-time augmentation: predictions of several views of an image or volume, inverted and merged."""

from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from inference.tiles import Padding, read_window

Views = Literal["none", "hflip", "flips", "d4", "axes", "cube"]
Merging = Literal["mean", "geometric", "logit", "max"]
Forward = Callable[[Tensor], dict[str, Tensor]]
FLOOR = 1e-3  # as in ensembling: one probability of 0 must not outvote all others


class View(NamedTuple):
    """A transformed view of an image `(N, C, H, W)` or a volume `(N, C, D, H, W)`.

    Its parts are applied in the order contrast, brightness, shift, scale, flips, axes. Every symmetry of the square (8)
    and of the cube (48) is a combination of flips and an order of axes.

    Attributes:
        axes: order of the spatial axes; `(1, 0)` transposes an image.
        flips: which of these axes are flipped.
        scale: scale factor of the sides, which are rounded to the network's stride; 2-D images only.
        shift: shift down and to the right in pixels, 0 or more; 2-D images only.
        contrast: factor on normalised values; -1 gives the negative.
        brightness: offset added afterwards, in standard deviations.
    """

    axes: tuple[int, ...] = (0, 1)
    flips: tuple[bool, ...] = (False, False)
    scale: float = 1.0
    shift: tuple[int, int] = (0, 0)
    contrast: float = 1.0
    brightness: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether pixels are only permuted, so that an output of any size can be inverted."""
        return self.scale == 1 and self.shift == (0, 0)

    def apply(self, image: Tensor, stride: Sequence[int] = (1, 1), padding: Padding = "reflect") -> Tensor:
        """The view of an image.

        Args:
            image: `(N, C, *spatial)`, normalised.
            stride: divisors of the sides of a shifted or scaled image.
            padding: padding of the area that a shift exposes.
        """
        image = image * self.contrast if self.contrast != 1 else image
        image = image + self.brightness if self.brightness else image
        if self.shift != (0, 0):
            height, width = self._shifted(image.shape[-2:], stride)
            image = read_window(image, -self.shift[0], -self.shift[1], height, width, padding)
        if self.scale != 1:
            sides = (side * self.scale / step for side, step in zip(image.shape[-2:], stride, strict=True))
            size = [max(1, round(side)) * step for side, step in zip(sides, stride, strict=True)]
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
        return self._ordered(self._flipped(image), self.axes)

    def invert(self, prediction: Tensor, size: Sequence[int] = (), stride: Sequence[int] = (1, 1)) -> Tensor:
        """A prediction of the view, transformed back to the image; exact for flips and axes.

        Args:
            prediction: `(N, K, *spatial)` of the size of the view, or of any size if the view is `exact`.
            size: size of the original image; unused if the view is exact.
            stride: as in `apply`.
        """
        back = tuple(self.axes.index(axis) for axis in range(len(self.axes)))
        prediction = self._flipped(self._ordered(prediction, back))
        if self.scale != 1:
            size_before = self._shifted(size, stride)
            prediction = F.interpolate(
                prediction, size=size_before, mode="bilinear", align_corners=False, antialias=True
            )
        if self.shift != (0, 0):
            down, right = self.shift
            prediction = prediction[..., down : down + size[0], right : right + size[1]]
        return prediction

    def _shifted(self, size: Sequence[int], stride: Sequence[int]) -> list[int]:
        """Sides that fit the shifted image."""
        moves = zip(size, self.shift, stride, strict=True)
        return [side + -(-move // step) * step for side, move, step in moves]

    def _flipped(self, image: Tensor) -> Tensor:
        axes = [axis - len(self.flips) for axis, flipped in enumerate(self.flips) if flipped]
        return image.flip(axes) if axes else image

    @staticmethod
    def _ordered(image: Tensor, axes: tuple[int, ...]) -> Tensor:
        if axes == tuple(range(len(axes))):
            return image
        first = image.ndim - len(axes)
        return image.permute(*range(first), *(first + axis for axis in axes))


def symmetries(name: Views, dimensions: int) -> tuple[View, ...]:
    """The views of a name, the identity first.

    Args:
        name: `none` (1); `hflip` (2: with the flip of the last axis); `flips` (all flips: 4 for images, 8 for volumes);
            `d4` (8 symmetries of the square; 16 for volumes, with the flip along the depth); for volumes only `axes`
            (3: each axis in turn as depth) and `cube` (48).
        dimensions: 2 for images, 3 for volumes.

    Raises:
        ValueError: the name is for volumes, and `dimensions` is 2.
    """
    same = tuple(range(dimensions))
    still = (False,) * dimensions
    every = tuple(product((False, True), repeat=dimensions))
    if name in ("axes", "cube") and dimensions == 2:
        raise ValueError(f"inference.tta {name} is for volumes, expected none, hflip, flips or d4 for 2-D images")
    orders: dict[str, tuple[tuple[int, ...], ...]] = {
        "d4": (same, (*same[:-2], same[-1], same[-2])),
        "axes": tuple((*same[turn:], *same[:turn]) for turn in range(dimensions)),
        "cube": tuple(permutations(same)),
    }
    flips = {"none": (still,), "axes": (still,), "hflip": (still, (*still[:-1], True))}.get(name, every)
    return tuple(View(axes, flip) for axes in orders.get(name, (same,)) for flip in flips)


IDENTITY = View()
FLIPS = symmetries("flips", 2)
D4 = symmetries("d4", 2)


class Merge:
    """Running merge of tensors of one shape, in one float32 buffer.

    Args:
        rule: `mean`; `geometric` or `logit` mean of probabilities (clamped at 0.001, see `ensembling.rules`); `max`
            (Human Protein Atlas 2018, 1st place: the largest probability over crops).
    """

    def __init__(self, rule: Merging = "mean") -> None:
        self.rule, self.count = rule, 0
        self.total: Tensor | None = None

    def add(self, value: Tensor, copies: bool = True) -> None:
        """Add a tensor; it is not modified.

        Args:
            value: tensor of any float type.
            copies: whether to copy the first tensor; False if no other will be added.
        """
        self.count += 1
        if self.rule == "geometric":
            value = value.float().clamp_min(FLOOR).log_()
        elif self.rule == "logit":
            value = value.float().clamp(FLOOR, 1 - FLOOR).logit_()
        if self.total is None:
            self.total = value.to(torch.float32, copy=copies and self.rule in ("mean", "max"))
        elif self.rule == "max":
            torch.maximum(self.total, value.float(), out=self.total)
        else:
            self.total.add_(value)

    def result(self) -> Tensor:
        """The merged tensor, float32; call it once, because it overwrites the buffer."""
        if self.total is None:
            raise ValueError("Merge: no tensor was added")
        if self.rule == "max":
            return self.total
        mean = self.total.div_(self.count) if self.count > 1 else self.total
        return mean if self.rule == "mean" else mean.exp_() if self.rule == "geometric" else mean.sigmoid_()


def check_prediction(prediction: dict[str, Tensor], batch: Tensor) -> None:
    """Check for a dict of spatial `(N, K, *spatial)` or image-level `(N, K)` probabilities.

    Raises:
        ValueError: the prediction is not a dict, or an output has another shape.
    """
    if not isinstance(prediction, dict):
        raise ValueError(f"forward returned a {type(prediction).__name__}, expected a dict: output name -> tensor")
    images = len(batch)
    things, sides = ("images", "h, w") if batch.ndim == 4 else ("volumes", "d, h, w")
    for name, value in prediction.items():
        if value.ndim not in (2, batch.ndim) or len(value) != images:
            raise ValueError(
                f"output {name!r} has shape {tuple(value.shape)} for {images} {things}; "
                f"expected ({images}, K, {sides}) or ({images}, K)"
            )


def full_size(name: str, output: Tensor, size: Sequence[int]) -> Tensor:
    """A spatial output `(N, K, *spatial)`, resized linearly to the size of the network's input.

    Raises:
        ValueError: the sides of the output do not divide `size`.
    """
    sides = tuple(output.shape[2:])
    if sides == tuple(size):
        return output
    if any(whole % side for whole, side in zip(size, sides, strict=True)):
        unit = "pixels" if len(sides) == 2 else "voxels"
        raise ValueError(
            f"output {name!r} has {' x '.join(map(str, sides))} {unit} for an input of {' x '.join(map(str, size))}, "
            "expected sides that divide the input's; set inference.stride to what the network needs, or make it return "
            "the size of its input"
        )
    mode = "bilinear" if len(sides) == 2 else "trilinear"
    return F.interpolate(output, size=tuple(size), mode=mode, align_corners=False)


def merged_views(
    forward: Forward,
    batch: Tensor,
    views: Sequence[View] = (IDENTITY,),
    merge: Merging = "mean",
    stride: Sequence[int] = (1, 1),
    padding: Padding = "reflect",
) -> dict[str, Tensor]:
    """Probabilities of a batch, merged over views, one view at a time.

    One large batch of all views would be slower on a CPU (it exceeds the caches) and need a multiple of the memory on
    any device. Each view of images is copied to the channels-last layout, because convolutions are slow on the strides
    of a flipped or transposed tensor.

    Args:
        forward: batch -> probabilities, after the activation; spatial `(N, K, *spatial)` or image-level `(N, K)`.
        batch: `(N, C, H, W)` or `(N, C, D, H, W)`.
        views: views of the batch; spatial outputs are transformed back, image-level ones merged unchanged.
        merge: rule to merge views, after the activation.
        stride: divisors of the sides of shifted and scaled images.
        padding: padding of the area that a shift exposes.

    Returns:
        Merged probabilities, float32, by output name.
    """
    size, exact = batch.shape[2:], all(view.exact for view in views)
    layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
    merges: dict[str, Merge] = {}
    for view in views:
        seen = view.apply(batch, stride, padding).contiguous(memory_format=layout)
        prediction = forward(seen)
        check_prediction(prediction, seen)
        for name, value in prediction.items():
            if value.ndim > 2:
                value = view.invert(value if exact else full_size(name, value, seen.shape[2:]), size, stride)
            # a copy if views are added to it, so that the forward's own tensor (or its input) does not change
            merges.setdefault(name, Merge(merge)).add(value, copies=len(views) > 1)
    return {name: found.result() for name, found in merges.items()}

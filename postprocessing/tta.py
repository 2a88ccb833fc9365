"""Test-time augmentation: predictions of flipped and rotated views, turned back and averaged."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

TestTime = Literal["none", "flips", "d4"]
Forward = Callable[[Tensor], dict[str, Tensor]]


class View(NamedTuple):
    """One way to look at an image: flips, then a transposition; every symmetry of the square is one of the eight.

    (A quarter turn is a flip and a transposition.)
    """

    transpose: bool
    vertical: bool
    horizontal: bool

    def apply(self, image: Tensor) -> Tensor:
        """`(..., H, W)` -> the view, `(..., W, H)` if transposed."""
        image = self._flip(image)
        return image.transpose(-2, -1) if self.transpose else image

    def invert(self, prediction: Tensor) -> Tensor:
        """The exact inverse of `apply`."""
        return self._flip(prediction.transpose(-2, -1) if self.transpose else prediction)

    def _flip(self, image: Tensor) -> Tensor:
        axes = [axis for axis, flipped in ((-2, self.vertical), (-1, self.horizontal)) if flipped]
        return image.flip(axes) if axes else image


IDENTITY = View(False, False, False)
FLIPS = tuple(View(False, vertical, horizontal) for vertical in (False, True) for horizontal in (False, True))
D4 = FLIPS + tuple(view._replace(transpose=True) for view in FLIPS)
VIEWS: dict[str, tuple[View, ...]] = {"none": (IDENTITY,), "flips": FLIPS, "d4": D4}


def check_prediction(prediction: dict[str, Tensor], images: int) -> None:
    """Refuse what is no dict of spatial `(N, K, h, w)` or image-level `(N, K)` probabilities.

    Raises:
        ValueError: names the output, its shape, and the number of images the forward was given.
    """
    if not isinstance(prediction, dict):
        raise ValueError(f"forward returned a {type(prediction).__name__}, expected a dict: output name -> tensor")
    for name, value in prediction.items():
        if value.ndim not in (2, 4) or len(value) != images:
            raise ValueError(
                f"output {name!r} has shape {tuple(value.shape)} for {images} images; "
                f"expected ({images}, K, h, w) or ({images}, K)"
            )


def averaged_views(forward: Forward, batch: Tensor, views: tuple[View, ...] = (IDENTITY,)) -> dict[str, Tensor]:
    """Mean probabilities over views of a batch, one view at a time.

    One view at a time because one large batch is slower on a CPU (it leaves the caches) and needs as many times the
    memory on any device. Every view is laid out channels-last anew: a flipped or transposed tensor has strides that
    convolutions are slow on.

    Args:
        forward: batch -> probabilities, after the activation; spatial `(N, K, h, w)` or image-level `(N, K)`.
        batch: `(N, C, H, W)`.
        views: ways to look at the batch; spatial outputs are turned back, image-level ones averaged as they are.

    Returns:
        float32 by output name.
    """
    totals: dict[str, Tensor] = {}
    for view in views:
        prediction = forward(view.apply(batch).contiguous(memory_format=torch.channels_last))
        check_prediction(prediction, len(batch))
        for name, value in prediction.items():
            turned = view.invert(value) if value.ndim == 4 else value
            if name in totals:
                totals[name].add_(turned)
            else:
                # a copy where views are added to it: the forward's own tensor (or its input) must not change
                totals[name] = turned.to(torch.float32, copy=len(views) > 1)
    return {name: total.div_(len(views)) if len(views) > 1 else total for name, total in totals.items()}

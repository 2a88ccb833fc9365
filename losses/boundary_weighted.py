"""Binary cross-entropy and Dice with more weight on pixels near an edge of the mask."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check

KERNELS = ((128, 11), (512, 21))  # (largest side, the author's window); 41 for larger images
POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class BoundaryWeightedLoss(nn.Module):
    """Weighted BCE + weighted soft Dice (lyakaap, Carvana 3rd place; the author's final models did not use it).

    A pixel is near an edge where the mean of the mask in the window around it is between 0.005 and 0.995. Its weight is
    1 + gain, that of others 1, scaled to a mean of 1 over the batch; Dice uses the square of the weights. For weights
    by distance see `monai.losses.HausdorffDTLoss`. The window's mean is over pixels of the image only, so that the
    border of the image is no edge of a mask (the author's Keras code padded with zeros).

    Args:
        kernel: side of the window in pixels, odd; `auto` is the author's: 11 for images up to 128 pixels, 21 up to
            512, else 41.
        gain: weight added near an edge.
        smooth: smoothing constant of Dice; keeps empty classes finite.

    Example:
        >>> import torch
        >>> from losses.boundary_weighted import BoundaryWeightedLoss
        >>> target = torch.zeros(1, 1, 64, 64)
        >>> target[..., 16:48, 16:48] = 1
        >>> inside, edge = 8 * target - 4, 8 * target - 4
        >>> inside[..., 32, 32] = -4  # one pixel missed in the middle
        >>> edge[..., 16, 32] = -4  # one missed at the edge
        >>> loss = BoundaryWeightedLoss(kernel=11)
        >>> bool(loss(edge, target) > loss(inside, target))
        True
    """

    def __init__(self, kernel: int | Literal["auto"] = "auto", gain: float = 2.0, smooth: float = 1.0) -> None:
        super().__init__()
        if kernel != "auto" and not (isinstance(kernel, int) and kernel > 0 and kernel % 2):
            raise ValueError(f"boundary_weighted: kernel is {kernel!r}, expected an odd number of pixels or auto")
        self.kernel, self.gain, self.smooth = kernel, gain, smooth

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        y, p = inputs.target, inputs.probabilities
        counted = torch.ones_like(y) if inputs.weight is None else inputs.weight.expand_as(y)
        w = self.weights(y, counted)
        cross = inputs.cross_entropy if inputs.index is None else -(y * inputs.logits.log_softmax) * y.shape[1]
        bce = (cross * w).sum() / w.sum().clamp_min(1e-12)
        squared, axes = w * w, (0, *range(2, y.dim()))
        inside = (squared * p * y).sum(axes)
        below = (squared * p).sum(axes) + (squared * y).sum(axes) + self.smooth
        return bce + inputs.unless_void((1 - (2 * inside + self.smooth) / below.clamp_min(1e-7)).mean())

    @torch.no_grad()
    def weights(self, target: Tensor, counted: Tensor) -> Tensor:
        """Weight of every pixel, the shape of the target `(N, C, *spatial)`; its mean over valid pixels is 1."""
        spatial = target.dim() - 2
        if not spatial:
            return counted
        side = max(target.shape[2:])
        kernel = next((k for limit, k in KERNELS if side <= limit), 41) if self.kernel == "auto" else self.kernel
        seen = (counted > 0).to(target.dtype)

        def around(values: Tensor) -> Tensor:
            for axis in range(spatial):  # one axis after the other: 2 k instead of k² additions per pixel
                sides, pad = [1] * spatial, [0] * (2 * spatial)
                sides[axis] = kernel
                pad[-2 * axis - 2 : len(pad) - 2 * axis] = [kernel // 2] * 2
                values = POOL[spatial](F.pad(values, pad), sides, stride=1)
            return values

        mean = around(target * seen) / around(seen).clamp_min(1e-7)
        w = (1 + self.gain * ((mean > 0.005) & (mean < 0.995)).to(target.dtype)) * counted
        return w * (counted.sum() / w.sum().clamp_min(1e-12))

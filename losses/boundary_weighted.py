"""Binary cross-entropy and Dice in which pixels near an edge of the mask count more."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check

KERNELS = ((128, 11), (512, 21))  # up to this side, the author's window; 41 for larger pictures
POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class BoundaryWeightedLoss(nn.Module):
    """Weighted BCE + weighted soft Dice (lyakaap, Carvana 3rd place; the author's last models did without).

    A pixel is near an edge where the mean of the mask in the window around it lies between 0.005 and 0.995. It weighs
    1 + gain, others 1, scaled to a mean of 1 over the batch; Dice takes the square of the weights. No distance is
    measured: for that see `monai.losses.HausdorffDTLoss`. The window's mean counts pixels of the picture only, so that
    a mask is not at an edge where the picture ends (the author's Keras code counted zeros beyond it).

    Args:
        kernel: side of the window in pixels, odd; `auto` takes the author's: 11 up to 128, 21 up to 512, else 41.
        gain: what an edge adds to the weight.
        smooth: of Dice; keeps empty classes finite.

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
            raise ValueError(f"boundary_weighted: kernel is an odd number of pixels or auto, got {kernel!r}")
        self.kernel, self.gain, self.smooth = kernel, gain, smooth

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        truth, p = inputs.target, inputs.probabilities
        counted = torch.ones_like(truth) if inputs.weight is None else inputs.weight.expand_as(truth)
        w = self.weights(truth, counted)
        cross = inputs.cross_entropy if inputs.index is None else -(truth * inputs.logits.log_softmax) * truth.shape[1]
        bce = (cross * w).sum() / w.sum().clamp_min(1e-12)
        squared, axes = w * w, (0, *range(2, truth.dim()))
        inside = (squared * p * truth).sum(axes)
        below = (squared * p).sum(axes) + (squared * truth).sum(axes) + self.smooth
        return bce + inputs.unless_void((1 - (2 * inside + self.smooth) / below.clamp_min(1e-7)).mean())

    @torch.no_grad()
    def weights(self, truth: Tensor, counted: Tensor) -> Tensor:
        """Weight of every pixel, shaped like the truth `(N, C, *spatial)`; its mean over counted pixels is 1."""
        spatial = truth.dim() - 2
        if not spatial:
            return counted
        side = max(truth.shape[2:])
        kernel = next((k for limit, k in KERNELS if side <= limit), 41) if self.kernel == "auto" else self.kernel
        seen = (counted > 0).to(truth.dtype)

        def around(values: Tensor) -> Tensor:
            for axis in range(spatial):  # one axis after the other: 2 k instead of k² additions a pixel
                sides, pad = [1] * spatial, [0] * (2 * spatial)
                sides[axis] = kernel
                pad[-2 * axis - 2 : len(pad) - 2 * axis] = [kernel // 2] * 2
                values = POOL[spatial](F.pad(values, pad), sides, stride=1)
            return values

        mean = around(truth * seen) / around(seen).clamp_min(1e-7)
        w = (1 + self.gain * ((mean > 0.005) & (mean < 0.995)).to(truth.dtype)) * counted
        return w * (counted.sum() / w.sum().clamp_min(1e-12))

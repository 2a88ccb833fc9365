"""EMANet: expectation-maximisation attention over a few bases."""

from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from networks.blocks import conv_relu
from networks.encoders import build_encoder


class ExpectationMaximisation(nn.Module):
    """EMA unit: `(N, C, H, W)` -> the same shape, each pixel plus its reconstruction from a few bases.

    Attention over K bases instead of over all pairs of pixels (Li et al. 2019, https://arxiv.org/abs/1907.13426). The
    expectation step estimates the responsibility of each base for each pixel, the maximisation step sets each base to
    the mean of its pixels, normalised to length 1. At the end the pixels are reconstructed from the bases: a map of
    rank K, with less noise. Gradients flow through the last iteration only.

    The initial bases are a moving average over training, the same on all ranks; evaluation does not change it.

    Args:
        channels: number of channels of the features.
        bases: number K of bases.
        iterations: number of expectation-maximisation iterations.
        momentum: momentum of the moving average, in [0, 1].

    Raises:
        ValueError: there is no base or no iteration, or the momentum is outside [0, 1].
    """

    def __init__(self, channels: int, bases: int = 64, iterations: int = 3, momentum: float = 0.9) -> None:
        super().__init__()
        if bases < 1 or iterations < 1 or not 0 <= momentum <= 1:
            raise ValueError(
                f"bases is {bases}, iterations {iterations}, momentum {momentum}; expected at least 1, at least 1, and "
                "a number in [0, 1]"
            )
        self.iterations, self.momentum = iterations, momentum
        self.register_buffer("bases", F.normalize(torch.randn(bases, channels), dim=1))
        self.enter = nn.Conv2d(channels, channels, 1)
        self.leave = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        pixels = self.enter(features).flatten(2).transpose(1, 2)
        # Sums over all pixels, and their exponentials: half precision lacks the range and the digits.
        with torch.autocast(features.device.type, enabled=False):
            pixels = pixels.float() if pixels.dtype in (torch.float16, torch.bfloat16) else pixels
            responsibilities, bases = self.attend(pixels)
            rebuilt = responsibilities @ bases
        if self.training:
            self._move(bases.detach())
        return features + self.leave(rebuilt.transpose(1, 2).reshape(features.shape).to(features.dtype))

    def attend(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels `(N, P, C)` -> responsibilities `(N, P, K)` that sum to 1 over K, and bases `(N, K, C)`."""
        # A copy: the moving average changes in place while autograd still needs it.
        bases = self.bases.to(pixels.dtype, copy=True).expand(len(pixels), -1, -1)
        with torch.no_grad():
            for _ in range(self.iterations - 1):
                _, bases = self._iterate(pixels, bases)
        return self._iterate(pixels, bases)

    def _iterate(self, pixels: Tensor, bases: Tensor) -> tuple[Tensor, Tensor]:
        responsibilities = torch.softmax(pixels @ bases.transpose(1, 2), dim=-1)
        # The mean of a base's pixels, normalised to length 1; the divisor of the mean cancels out.
        return responsibilities, F.normalize(responsibilities.transpose(1, 2) @ pixels, dim=-1)

    @torch.no_grad()
    def _move(self, bases: Tensor) -> None:
        mean = bases.mean(dim=0).to(self.bases.dtype)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(mean)
            mean /= distributed.get_world_size()
        self.bases.copy_(F.normalize(self.bases.lerp(mean, 1 - self.momentum), dim=1))


class GlobalAttentionUpsample(nn.Module):
    """GAU of the Pyramid Attention Network (https://arxiv.org/abs/1805.10180), as in SIIM-ACR's 7th place.

    The coarse features, pooled to one pixel, weight the channels of the skip connection; the two are added.

    Args:
        skip_channels: number of channels of the skip connection.
        channels: number of channels of the coarse features and of the result.
    """

    def __init__(self, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip_channels, channels, 3, padding=1)
        self.weights = conv_relu(channels, channels, kernel=1, norm=True)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        features = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=True)
        return features + self.weights(features.mean(dim=(2, 3), keepdim=True)) * self.skip(skip)


class EMANet(nn.Module):
    """Expectation-maximisation attention network: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    The defaults are those of SIIM-ACR's 7th place (See): an encoder that halves five times, and three GAUs up to 1/4 of
    the image. The paper's are `decoder: plain`, `output_stride: 8`, encoder resnet50 or resnet101. Batches need 2 or
    more images: batch norm in the GAUs sees one pixel per image.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        output_stride: downsampling factor of the encoder's last features: 32, or 16 or 8 by dilation.
        channels: number of channels of the EMA unit.
        bases: number of bases of the EMA unit.
        iterations: number of expectation-maximisation iterations.
        momentum: momentum of the moving average of the bases, in [0, 1].
        decoder: `gau`, or `plain` (two convolutions and one bilinear upsampling to the image).
        decoder_channels: number of channels of the decoder (default: 64 for `gau`, 256 for `plain`).

    Raises:
        ValueError: the network does not support the encoder (most cannot be dilated).
    """

    def __init__(
        self,
        encoder_name: str = "resnet101",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        output_stride: Literal[8, 16, 32] = 32,
        channels: int = 512,
        bases: int = 64,
        iterations: int = 3,
        momentum: float = 0.9,
        decoder: Literal["gau", "plain"] = "gau",
        decoder_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights, output_stride=output_stride)
        *skips, deepest = self.encoder.out_channels[2:]
        width = decoder_channels or (64 if decoder == "gau" else 256)
        self.reduce = conv_relu(deepest, channels, norm=True)
        self.attention = ExpectationMaximisation(channels, bases, iterations, momentum)
        self.project = conv_relu(channels, width, norm=True)
        self.dropout = nn.Dropout2d(0.0 if decoder == "gau" else 0.1)
        coarse_first = skips[::-1] if decoder == "gau" else []
        self.upsamples = nn.ModuleList(GlobalAttentionUpsample(skip, width) for skip in coarse_first)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        _, _, *skips, features = self.encoder(image)
        features = self.dropout(self.project(self.attention(self.reduce(features))))
        for upsample, skip in zip(self.upsamples, reversed(skips), strict=False):
            features = upsample(features, skip)
        return F.interpolate(self.head(features), size=image.shape[-2:], mode="bilinear", align_corners=True)

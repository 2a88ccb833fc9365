"""U-Net with learnt upsampling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.blocks import conv_relu, fit
from networks.encoders import build_encoder


def bilinear_(weight: Tensor) -> None:
    """Initialise a transposed convolution of kernel 4 and stride 2 as bilinear upsampling.

    As in FCN (https://arxiv.org/abs/1411.4038): no checkerboard artefacts at the start. With fewer output than input
    channels, each output starts as the mean of several inputs; with more, each input is used for several outputs.

    Args:
        weight: weights `(in_channels, out_channels, 4, 4)`, changed in place.
    """
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    into, out = weight.shape[:2]
    share = torch.arange(max(into, out)) * min(into, out) // max(into, out)
    mapping = torch.zeros(into, out)
    if into >= out:
        mapping[torch.arange(into), share] = 1
    else:
        mapping[share, torch.arange(out)] = 1
    mapping /= mapping.sum(0)
    with torch.no_grad():
        weight.copy_(mapping[:, :, None, None] * torch.outer(line, line))


class TransposedUp(nn.Module):
    """Upsamples `(N, C, H, W)` twofold by a transposed convolution, crops it and concatenates the skip connection.

    Args:
        in_channels: number of channels of the coarse features.
        skip_channels: number of channels of the skip connection; 0 for none.
        out_channels: number of channels of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1)
        bilinear_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.convs = nn.Sequential(
            conv_relu(out_channels + skip_channels, out_channels), conv_relu(out_channels, out_channels)
        )

    def forward(self, features: Tensor, skip: Tensor | None, size: torch.Size) -> Tensor:
        features = fit(F.relu(self.up(features)), size)
        return self.convs(features if skip is None else torch.cat([features, skip], dim=1))


class TransposedUnet(nn.Module):
    """U-Net with transposed convolutions: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    SIIM-ACR's 11th place ("Dies irae"): learnt upsampling, a last convolution of 2 × 2, no normalisation in the
    decoder, BCE + Dice, batches of two. Sides that are not multiples of 32 are cropped after each upsampling.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        decoder_channels: channels of the decoder from coarse to fine.

    Raises:
        ValueError: the decoder does not support the encoder.
    """

    def __init__(
        self,
        encoder_name: str = "resnet34",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16),
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        channels = list(self.encoder.out_channels)[1:]
        into = [channels[-1], *decoder_channels]
        skips = [*channels[-2::-1], 0]
        self.decoder = nn.ModuleList(
            TransposedUp(coarse, skip, out) for coarse, skip, out in zip(into, skips, decoder_channels, strict=False)
        )
        # The kernel is even: pad one row below and one column to the right.
        self.head = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(decoder_channels[-1], classes, kernel_size=2))

    def forward(self, image: Tensor) -> Tensor:
        _, *skips, features = self.encoder(image)
        for up, skip in zip(self.decoder, [*skips[::-1], None], strict=True):
            features = up(features, skip, (image if skip is None else skip).shape[-2:])
        return self.head(features)

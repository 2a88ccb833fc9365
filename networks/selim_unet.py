"""Selim Seferbekov's U-Net."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.blocks import conv_relu
from networks.encoders import build_encoder


class SelimUnet(nn.Module):
    """U-Net of selim_sef: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    Each step of the decoder: nearest-neighbour upsampling, a 3 × 3 convolution, the skip connection beside it, and a
    3 × 3 convolution ("bottleneck") over both; ReLU, no batch norm. A last upsampling with its convolution leads to the
    image's own size. DSB2018's 1st, SpaceNet 4, xView2 and SIIM-ACR's 1st place (sneddy) used it.

    Args:
        encoder_name: encoder of smp, or of timm with `tu-` before it.
        encoder_weights: `imagenet` or another of smp's names, True for timm's; None for random ones.
        in_channels: channels of the image.
        classes: channels of the mask.
        decoder_channels: of the decoder at 1/2, 1/4, 1/8 and 1/16 of the image; his for ResNets and DenseNets. For
            SE-ResNeXts and SENet154 he took 64, 128, 256, 384.

    Raises:
        ValueError: an encoder that the decoder cannot take.
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        decoder_channels: tuple[int, int, int, int] = (64, 128, 256, 256),
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        skips = list(self.encoder.out_channels)[1:-1]
        coarse = [*decoder_channels[1:], self.encoder.out_channels[-1]]
        self.decoder_stages = nn.ModuleList(
            conv_relu(into, out) for into, out in zip(coarse, decoder_channels, strict=True)
        )
        self.bottlenecks = nn.ModuleList(
            conv_relu(skip + out, out) for skip, out in zip(skips, decoder_channels, strict=True)
        )
        self.last_upsample = conv_relu(decoder_channels[0], decoder_channels[0])
        self.head = nn.Conv2d(decoder_channels[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        _, *skips, features = self.encoder(image)
        steps = zip(skips, self.decoder_stages, self.bottlenecks, strict=True)
        for skip, stage, bottleneck in reversed(list(steps)):
            features = stage(F.interpolate(features, size=skip.shape[-2:]))
            features = bottleneck(torch.cat([features, skip], dim=1))
        return self.head(self.last_upsample(F.interpolate(features, size=image.shape[-2:])))

"""Selim Seferbekov's U-Net."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.blocks import conv_relu
from networks.encoders import build_encoder


class SelimUnet(nn.Module):
    """U-Net of selim_sef: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    A decoder step is nearest-neighbour upsampling, a 3 × 3 convolution, concatenation with the skip connection, and a
    3 × 3 convolution ("bottleneck"); with ReLU, without batch norm. A last upsampling and convolution lead to the size
    of the image. DSB2018's 1st, SpaceNet 4, xView2 and SIIM-ACR's 1st place (sneddy) used it.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        decoder_channels: channels of the decoder at 1/2, 1/4, 1/8 and 1/16 of the image; the default is his for ResNets
            and DenseNets. For SE-ResNeXts and SENet154 he used 64, 128, 256, 384.

    Raises:
        ValueError: the decoder does not support the encoder.
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

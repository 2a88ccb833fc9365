"""U-Net with hypercolumns and deep supervision."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.blocks import conv_relu, unet_decoder
from networks.encoders import build_encoder


class HypercolumnUnet(nn.Module):
    """U-Net with a head on all levels of its decoder: `(N, C, H, W)` of any size -> `(N, classes, H, W)`.

    All levels are resized to the image and concatenated (hypercolumns, https://arxiv.org/abs/1411.5752); a 3 × 3 and a
    1 × 1 convolution predict the mask. TGS Salt's 1st place used it with `scse` and deep supervision.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        decoder_channels: channels of the decoder from coarse to fine.
        decoder_attention_type: `scse`, or None.
        head_channels: number of channels of the 3 × 3 convolution on the hypercolumns.
        deep_supervision: whether to also return, in training, a mask of each coarser level at its own size: a list from
            fine to coarse, whose losses are averaged with weights 1, 1/2, 1/4, …

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
        decoder_attention_type: Literal["scse"] | None = None,
        head_channels: int = 64,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        self.decoder = unet_decoder(self.encoder.out_channels, decoder_channels, decoder_attention_type)
        self.head = nn.Sequential(conv_relu(sum(decoder_channels), head_channels), nn.Conv2d(head_channels, classes, 1))
        coarser = decoder_channels[-2::-1] if deep_supervision else ()
        self.coarse_heads = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in coarser)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        levels = self.levels(self.encoder(image))
        size = image.shape[-2:]
        columns = [F.interpolate(level, size=size, mode="bilinear", align_corners=False) for level in levels]
        mask = self.head(torch.cat(columns, dim=1))
        if not self.training or not self.coarse_heads:
            return mask
        return [mask, *(head(level) for head, level in zip(self.coarse_heads, levels[1:], strict=True))]

    def levels(self, features: list[Tensor]) -> list[Tensor]:
        """Outputs of all blocks of the decoder, from fine (the image's size) to coarse (1/16)."""
        *skips, value = features
        found = []
        for index, block in enumerate(self.decoder.blocks):
            skip = skips[-1 - index]
            # The first of the features is the image itself: only its size is used.
            value = block(value, *skip.shape[-2:], skip_connection=skip if index < len(skips) - 1 else None)
            found.append(value)
        return found[::-1]

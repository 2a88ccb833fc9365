"""U-Net with tabular features of the image as a second input."""

from typing import Literal

import torch
from segmentation_models_pytorch.base import SegmentationHead
from torch import Tensor, nn

from networks.blocks import unet_decoder
from networks.encoders import build_encoder


class SideUnet(nn.Module):
    """U-Net with side inputs: image `(N, C, H, W)` of any size, features `(N, F)` -> logits `(N, classes, H, W)`.

    The side inputs are concatenated to the encoder's features as constant channels, before the decoder. In SpaceNet 4
    they were the angle of the satellite, its pass (one-hot, 27) and the location of the tile. cannab (1st) added them
    at every level of the decoder, and also predicted the angle from the image, as an image-level output that joined
    them; selim_sef added them at the bottleneck only.

    For `model.inputs: [image, features]`, `data.features: [nadir, …]`; with `labels`, `model.outputs` has a second
    entry: `[[body, border, separation], nadir]`.

    Args:
        features: number of side inputs per image (the columns of `data.features`).
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image; 9 for SpaceNet 4 (8 bands and the panchromatic one).
        classes: number of channels of the mask; 3 for body, border and separation.
        labels: number of image-level outputs `(N, labels)`, predicted from the pooled last features of the encoder and
            added to the side inputs; 0 for none.
        everywhere: whether to add the side inputs at every level of the decoder (cannab) instead of at the bottleneck
            only.
        feature_scale: divisor of each side input, to bring it to about 1 (default: 1). Unscaled degrees would
            dominate the image in the first steps.
        decoder_channels: channels of the decoder from coarse to fine.
        decoder_attention_type: `scse` (cannab's), or None.

    Raises:
        ValueError: the decoder does not support the encoder, `feature_scale` has another length than `features` or
            contains 0, or `forward` gets another number of features.
    """

    def __init__(
        self,
        features: int,
        encoder_name: str = "resnet34",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        labels: int = 0,
        everywhere: bool = False,
        feature_scale: list[float] | None = None,
        decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16),
        decoder_attention_type: Literal["scse"] | None = None,
    ) -> None:
        super().__init__()
        scale = feature_scale or [1.0] * features
        if features < 1 or len(scale) != features or 0 in scale:
            raise ValueError(
                f"features is {features} and feature_scale {feature_scale}, expected 1 or more features and one scale "
                "other than 0 for each"
            )
        self.everywhere = everywhere
        self.register_buffer("scale", torch.tensor(scale))
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        first, *skips, deepest = self.encoder.out_channels
        self.label_head = _label_head(deepest, labels) if labels else None
        more = features + labels
        channels = [first, *(skip + more * everywhere for skip in skips), deepest + more]
        self.decoder = unet_decoder(channels, decoder_channels, decoder_attention_type)
        self.segmentation_head = SegmentationHead(decoder_channels[-1], classes)

    def forward(self, image: Tensor, features: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if features is None or features.shape != (len(image), len(self.scale)):
            found = "no features" if features is None else f"features of shape {tuple(features.shape)}"
            raise ValueError(
                f"SideUnet: expected an image and {len(self.scale)} features, got {found} for {len(image)} images; set "
                f"model.inputs: [image, features] and {len(self.scale)} columns in data.features"
            )
        maps = self.encoder(image)
        side, label = features.to(self.scale.dtype) / self.scale, None
        if self.label_head is not None:
            label = self.label_head(maps[-1].mean(dim=(2, 3)))
            side = torch.cat([side, label.to(side.dtype)], dim=1)
        joined = range(1, len(maps)) if self.everywhere else [len(maps) - 1]
        maps = [beside(value, side) if index in joined else value for index, value in enumerate(maps)]
        mask = self.segmentation_head(self.decoder(maps))
        return mask if label is None else (mask, label)


def _label_head(channels: int, labels: int) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(0.05), nn.Linear(channels, 64), nn.ReLU(inplace=True), nn.Linear(64, labels))


def beside(maps: Tensor, numbers: Tensor) -> Tensor:
    """Append `(N, F)` to `(N, C, H, W)` as constant channels: `(N, C + F, H, W)`."""
    constant = numbers.to(maps.dtype)[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
    return torch.cat([maps, constant], dim=1)

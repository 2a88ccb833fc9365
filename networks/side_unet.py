"""U-Net that knows more about an image than its pixels."""

from typing import Literal

import torch
from segmentation_models_pytorch.base import SegmentationHead
from torch import Tensor, nn

from networks.blocks import unet_decoder
from networks.encoders import build_encoder


class SideUnet(nn.Module):
    """U-Net with side inputs: image `(N, C, H, W)` of any size, features `(N, F)` -> logits `(N, classes, H, W)`.

    The numbers are laid beside the features of the encoder as constant channels, before the decoder. SpaceNet 4: the
    angle of the satellite, which of 27 passes it was (one-hot) and the place of the tile. cannab (1st) gave them to
    every level of the decoder, and let the network tell the angle from the image too, as an image-level output whose
    value joined them; selim_sef gave them to the bottleneck alone.

    For `model.inputs: [image, features]`, `data.features: [nadir, …]`; with `labels`, `model.outputs` has a second
    entry: `[[body, border, separation], nadir]`.

    Args:
        features: how many numbers an image has (the columns of `data.features`).
        encoder_name: encoder of smp, or of timm with `tu-` before it.
        encoder_weights: `imagenet` or another of smp's names, True for timm's; None for random ones.
        in_channels: channels of the image; 9 for SpaceNet 4 (8 bands and the panchromatic one).
        classes: channels of the mask; 3 for body, border and separation.
        labels: image-level outputs `(N, labels)` from the pooled last features of the encoder, which join the side
            inputs; 0 for none.
        everywhere: join the side inputs at every level of the decoder (cannab), not at the bottleneck alone.
        feature_scale: what each number is divided by, so that it is of about 1; None for as they are. Degrees beside
            zeros and ones would drown the image in the first steps.
        decoder_channels: of the decoder from coarse to fine.
        decoder_attention_type: `scse` as cannab's, or None.

    Raises:
        ValueError: an encoder that the decoder cannot take; scales of another number than features, or a zero among
            them; in `forward` another number of features.
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
                f"features is {features} and feature_scale {feature_scale}, expected 1 or more features and as many "
                "scales, none of them 0"
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
                f"SideUnet takes an image and {len(self.scale)} features, got {found} for {len(image)} images; set "
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
    """`(N, C, H, W)` and `(N, F)` -> `(N, C + F, H, W)`, the numbers as constant channels."""
    constant = numbers.to(maps.dtype)[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
    return torch.cat([maps, constant], dim=1)

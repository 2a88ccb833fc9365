"""U-Net with a stack of dilated convolutions as bottleneck."""

from segmentation_models_pytorch.base import SegmentationHead
from torch import Tensor, nn

from networks.blocks import conv_relu, unet_decoder
from networks.encoders import build_encoder


class DilatedStack(nn.Module):
    """Sum of the outputs of successive 3 × 3 convolutions with increasing dilation.

    `(N, in_channels, H, W)` -> `(N, channels, H, W)`. The receptive field is 1 + 2 · Σ rates pixels: 127 with the
    winner's rates, which is 1016 pixels of the image at 1/8.

    Args:
        in_channels: number of channels of the features.
        channels: number of channels of each convolution.
        rates: dilation of each convolution, in order.
        norm: whether a batch norm follows each convolution.
    """

    def __init__(self, in_channels: int, channels: int, rates: list[int], norm: bool = True) -> None:
        super().__init__()
        widths = [in_channels] + [channels] * len(rates)
        self.layers = nn.ModuleList(
            conv_relu(width, channels, dilation=rate, norm=norm) for width, rate in zip(widths, rates, strict=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.layers[0](features)
        total = features
        for layer in self.layers[1:]:
            features = layer(features)
            total = total + features
        return total


class DilatedUnet(nn.Module):
    """U-Net of any encoder with a `DilatedStack`: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    Carvana's 3rd place (lyakaap): the rates 1, 2, 4, 8, 16, 32 in series with summed outputs were better than in
    parallel (as in DeepLab's ASPP) and than a plain bottleneck: Dice 0.9905 -> 0.9918 at 256². The bottleneck was at
    1/8 of the image (`encoder_depth: 3`), in a network without batch norm because a batch was one image.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        encoder_depth: number of halvings of the image before the bottleneck, 3 to 5.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        rates: dilation of each convolution of the bottleneck.
        bottleneck_channels: number of channels of each of these convolutions; 352 is the winner's.
        decoder_channels: channels of the decoder from coarse to fine, one per halving (default: the last of smp's 256,
            128, 64, 32, 16).
        norm: whether bottleneck and decoder have batch norm; False is the winner's.

    Raises:
        ValueError: the decoder does not support the encoder, there are no rates, or the number of decoder channels is
            wrong.
    """

    def __init__(
        self,
        encoder_name: str = "resnet34",
        encoder_weights: str | bool | None = None,
        encoder_depth: int = 5,
        in_channels: int = 3,
        classes: int = 1,
        rates: list[int] = [1, 2, 4, 8, 16, 32],  # noqa: B006 - never changed; jsonargparse prints it in --help
        bottleneck_channels: int = 352,
        decoder_channels: list[int] | None = None,
        norm: bool = True,
    ) -> None:
        super().__init__()
        if not rates or min(rates) < 1:
            raise ValueError(f"rates is {rates}, expected one dilation of 1 or more per convolution")
        decoder_channels = decoder_channels or [256, 128, 64, 32, 16][-encoder_depth:]
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights, encoder_depth)
        *skips, deepest = self.encoder.out_channels
        self.bottleneck = DilatedStack(deepest, bottleneck_channels, rates, norm)
        self.decoder = unet_decoder([*skips, bottleneck_channels], decoder_channels, norm=norm)
        self.segmentation_head = SegmentationHead(decoder_channels[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        *skips, deepest = self.encoder(image)
        return self.segmentation_head(self.decoder([*skips, self.bottleneck(deepest)]))

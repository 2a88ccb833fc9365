"""AlbuNet34: TernausNet's decoder on a ResNet."""

import re

import torch
from torch import Tensor, nn

from networks.blocks import conv_relu, fit
from networks.encoders import build_encoder


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a published checkpoint to those of `AlbuNet`.

    The published network has its encoder twice: as `encoder` and as `conv1` to `conv5`. The second is dropped, as is
    the head of the ImageNet classifier. For `model.init_from`:
    `torch.save(from_published(torch.load("best_model.pth", weights_only=True)), "albunet.pth")`.

    Args:
        state: state dict of AlbuNet of ternaus/TernausNet or sneddy/pneumothorax-segmentation.
    """
    renamed = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if re.match(r"conv\d\.|encoder\.fc\.", key):
            continue
        key = re.sub(r"^(center|dec\d)\.block\.(\d)\.conv\.", r"\1.\2.0.", key)
        key = re.sub(r"^(center|dec\d)\.block\.(\d)\.", r"\1.\2.", key)
        renamed[re.sub(r"^dec0\.conv\.", "dec0.0.", key)] = value
    return renamed


class AlbuNet(nn.Module):
    """A U-Net with a ResNet encoder, after TernausNet: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    By Alexander Buslaev; the best single network of SIIM-ACR's 1st place (sneddy). Unlike in other U-Nets, the
    encoder's first pooling is 2 × 2, its last features are pooled once more (to 1/64 of the image) before the decoder,
    the features at 1/2 are not used, and the decoder has no batch norm.

    Args:
        encoder_name: ResNet or ResNeXt of smp.
        encoder_weights: name of smp's pretrained weights, such as `imagenet`; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        num_filters: base width; the decoder has 1, 2, 4 and 8 times as many channels.
        transpose: whether to upsample by transposed convolutions instead of bilinearly, as the winner did.

    Raises:
        ValueError: the encoder is not a ResNet.
    """

    def __init__(
        self,
        encoder_name: str = "resnet34",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        num_filters: int = 32,
        transpose: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        if not isinstance(getattr(self.encoder, "maxpool", None), nn.MaxPool2d):
            raise ValueError(
                f"encoder_name is {encoder_name!r}, but AlbuNet needs a ResNet, whose first pooling it replaces: use "
                "resnet18, resnet34, resnet50, …, resnext50_32x4d, …, or networks.SelimUnet, which has a similar "
                "decoder for any encoder"
            )
        self.encoder.maxpool = nn.MaxPool2d(2, 2)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        quarter, eighth, sixteenth, deepest = self.encoder.out_channels[2:]
        filters = num_filters

        def up(into: int, middle: int, out: int) -> nn.Sequential:
            if transpose:
                doubling = nn.ConvTranspose2d(middle, out, kernel_size=4, stride=2, padding=1)
                return nn.Sequential(conv_relu(into, middle), doubling, nn.ReLU(inplace=True))
            bilinear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            return nn.Sequential(bilinear, conv_relu(into, middle), conv_relu(middle, out))

        self.center = up(deepest, 16 * filters, 8 * filters)
        self.dec5 = up(deepest + 8 * filters, 16 * filters, 8 * filters)
        self.dec4 = up(sixteenth + 8 * filters, 16 * filters, 8 * filters)
        self.dec3 = up(eighth + 8 * filters, 8 * filters, 2 * filters)
        self.dec2 = up(quarter + 2 * filters, 4 * filters, 4 * filters)
        self.dec1 = up(4 * filters, 4 * filters, filters)
        self.dec0 = conv_relu(filters, filters)
        self.final = nn.Conv2d(filters, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        *_, quarter, eighth, sixteenth, deepest = self.encoder(image)
        value = self.center(self.pool(deepest))
        for step, skip in ((self.dec5, deepest), (self.dec4, sixteenth), (self.dec3, eighth), (self.dec2, quarter)):
            value = step(torch.cat([fit(value, skip.shape[-2:]), skip], dim=1))
        value = fit(self.dec1(value), image.shape[-2:])
        return self.final(self.dec0(value))

"""The original U-Net."""

import torch
from torch import Tensor, nn

from networks.blocks import conv_relu, fit

MARGIN = 92  # pixels lost on each side by unpadded convolutions of five levels: 572 -> 388


class VanillaUnet(nn.Module):
    """U-Net of Ronneberger et al. 2015: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    Two 3 × 3 convolutions per level, 64 to 1024 channels, max pooling, transposed convolutions of 2 × 2, concatenated
    skip connections; trained from scratch. https://arxiv.org/abs/1505.04597

    Millions of parameters: 31.04 with batch norm, 31.03 without (the paper's; 31.0307 with 1 channel and 2 classes).

    Args:
        in_channels: number of channels of the image.
        classes: number of channels of the mask.
        channels: channels of the levels, from fine to coarse.
        norm: whether batch norm follows each convolution, which then has no bias. The paper has none; with it networks
            this deep are far easier to train from scratch.
        valid: whether to use unpadded convolutions, as in the paper, instead of zero padding: the image is mirrored by
            92 pixels on each side, so that the mask has the size of the image and depends on no zeros.

    Raises:
        ValueError: `valid` is set and the number of levels is not the paper's five.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        channels: list[int] = [64, 128, 256, 512, 1024],  # noqa: B006 - never changed; jsonargparse prints it in --help
        norm: bool = True,
        valid: bool = False,
    ) -> None:
        super().__init__()
        if valid and len(channels) != 5:
            raise ValueError(f"channels has {len(channels)} levels, expected 5 with valid convolutions")
        self.valid = valid
        finer = [in_channels, *channels[:-1]]
        self.down = nn.ModuleList(_two(into, out, norm, valid) for into, out in zip(finer, channels, strict=True))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2)
            for fine, coarse in zip(channels, channels[1:], strict=False)
        )
        self.merge = nn.ModuleList(_two(2 * fine, fine, norm, valid) for fine in channels[:-1])
        self.head = nn.Conv2d(channels[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[-2:]
        features, skips = _mirror(image) if self.valid else image, []
        for level, convs in enumerate(self.down):
            features = convs(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            features, skip = up(features), skips.pop()
            if self.valid:
                skip = _centre(skip, features.shape[-2:])
            features = merge(torch.cat([skip, fit(features, skip.shape[-2:])], dim=1))
        return self.head(features)[..., : size[0], : size[1]]


def _two(into: int, out: int, norm: bool, valid: bool) -> nn.Sequential:
    first, second = conv_relu(into, out, norm=norm), conv_relu(out, out, norm=norm)
    if valid:
        first[0].padding = second[0].padding = (0, 0)
    return nn.Sequential(*first, *second)


def _centre(features: Tensor, size: torch.Size) -> Tensor:
    top, left = (features.shape[-2] - size[0]) // 2, (features.shape[-1] - size[1]) // 2
    return features[..., top : top + size[0], left : left + size[1]]


def _mirror(image: Tensor) -> Tensor:
    """Mirror by 92 pixels or more, to a side of 16k + 60, which halves four times and leaves 16k - 124 pixels."""
    for axis in (-2, -1):
        side = image.shape[axis]
        total = 16 * -(-(side + 124) // 16) + 60
        place = torch.arange(total, device=image.device) - MARGIN
        place = place.remainder(max(1, 2 * (side - 1)))  # mirrored repeatedly if needed
        image = image.index_select(axis, torch.minimum(place, 2 * (side - 1) - place).clamp_min(0))
    return image

"""The U-Net of the paper."""

import torch
from torch import Tensor, nn

from networks.blocks import conv_relu, fit

MARGIN = 92  # pixels that unpadded convolutions of five levels eat on each side: 572 -> 388


class VanillaUnet(nn.Module):
    """U-Net as Ronneberger et al. 2015 drew it: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    Two 3 × 3 convolutions a level, 64 to 1024 channels, max pooling, transposed convolutions of 2 × 2, skip connections
    beside them; trained from scratch. https://arxiv.org/abs/1505.04597

    Millions of parameters: 31.04 with batch norm, 31.03 without (the paper's; 1 channel and 2 classes make 31.0307).

    Args:
        in_channels: channels of the image.
        classes: channels of the mask.
        channels: of the levels, from fine to coarse.
        norm: batch norm after each convolution, which then has no bias. The paper, of 2015, has none; networks this
            deep train from scratch far more easily with it.
        valid: convolutions without padding, as in the paper: the image is mirrored by 92 pixels on each side, so that
            the mask is as large as the image and no pixel of it has seen zeros. Else zeros are padded.

    Raises:
        ValueError: `valid` with another number of levels than the paper's five.
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
            raise ValueError(f"channels has {len(channels)} levels; valid convolutions eat 92 pixels with 5 alone")
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
    """Mirror by 92 pixels and on to the next side that halves four times: 16k + 60, of which 16k - 124 are left."""
    for axis in (-2, -1):
        side = image.shape[axis]
        total = 16 * -(-(side + 124) // 16) + 60
        place = torch.arange(total, device=image.device) - MARGIN
        place = place.remainder(max(1, 2 * (side - 1)))  # there and back, as often as it takes
        image = image.index_select(axis, torch.minimum(place, 2 * (side - 1) - place).clamp_min(0))
    return image

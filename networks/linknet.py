"""LinkNet that concatenates skip connections instead of adding them."""

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from torch import Tensor, nn

from networks.blocks import fit
from networks.encoders import build_encoder


class ConcatLinknetDecoder(LinknetDecoder):
    """smp's decoder with `conv1x1(cat(x, skip))` instead of `x + skip`, with the same number of channels.

    A state dict of smp's decoder fits except for the `merges`, which are initialised as the addition that they replace:
    weight `[I, I]`, bias 0. They add 2C² + C parameters per skip connection of C channels.

    Args:
        encoder_channels: channels of the encoder's features, starting with the image.
    """

    def __init__(self, encoder_channels: list[int]) -> None:
        super().__init__(encoder_channels, n_blocks=len(encoder_channels) - 1)
        initialize_decoder(self)
        self.merges = nn.ModuleList()
        for channels in encoder_channels[-2:0:-1]:
            # timm's transformers have no features at 1/2 of the image: 0 channels, nothing to concatenate.
            self.merges.append(nn.Conv2d(2 * channels, channels, 1) if channels else nn.Identity())
            if channels:
                identity = torch.eye(channels)[:, :, None, None]
                self.merges[-1].weight.data = torch.cat([identity, identity], dim=1)
                nn.init.zeros_(self.merges[-1].bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        image, *skips, value = features
        for index, block in enumerate(self.blocks):
            value = block(value)
            skip = skips[-1 - index] if index < len(skips) else image
            value = fit(value, skip.shape[-2:])
            if index < len(skips) and skip.shape[1]:
                value = self.merges[index](torch.cat([value, skip], dim=1))
        return value


class ConcatLinknet(nn.Module):
    """LinkNet with concatenated skip connections: `(N, C, H, W)` of any size -> logits `(N, classes, H, W)`.

    A common change of Kagglers to LinkNet (https://arxiv.org/abs/1707.03718): the decoder learns the weight of a skip
    connection. It starts as `segmentation_models_pytorch.Linknet` and loads its weights.

    Args:
        encoder_name: encoder of smp, or of timm with the prefix `tu-`.
        encoder_weights: name of smp's weights, such as `imagenet`, or True for timm's; None for random weights.
        in_channels: number of channels of the image.
        classes: number of channels of the mask.

    Raises:
        ValueError: the decoder does not support the encoder.
    """

    def __init__(
        self,
        encoder_name: str = "resnet34",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder_name, in_channels, encoder_weights)
        self.decoder = ConcatLinknetDecoder(list(self.encoder.out_channels))
        self.segmentation_head = SegmentationHead(32, classes, kernel_size=1)
        initialize_head(self.segmentation_head)

    def forward(self, image: Tensor) -> Tensor:
        return self.segmentation_head(self.decoder(self.encoder(image)))

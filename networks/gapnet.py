"""GAPNet: global average pooling at several depths of an encoder (HPA 2018, 4th place)."""

import torch
from timm.layers import SqueezeExcite
from torch import Tensor, nn

from networks.encoder_weights import make_encoder
from networks.heads import linear_head


class GapNet(nn.Module):
    """Squeeze-and-excitation and global average pooling at several depths, concatenated, then fully connected layers.

    The network of the Wienerschnitzelgemeinschaft in HPA 2018: ResNet-18 tapped at its first ReLU and after stages 1, 2
    and 3 (64 + 64 + 128 + 256 = 512 features; no stage 4), then dropout, 256, dropout, 256, dropout, logits. It
    resembles GapNet-PL (Rumetshofer et al., ICLR 2019), and is unrelated to the GAPNet for point clouds.

    Args:
        classes: number of logits.
        encoder: name of a timm model with feature maps.
        in_channels: number of channels of the image.
        pretrained: as in `ImageClassifier`.
        taps: indices of feature maps; 0 is the first, at half the image's size in most encoders.
        hidden: sizes of the fully connected layers before the last.
        dropout: dropout rate before each fully connected layer, in [0, 1).
        reduction: channels / hidden channels of the excitation; 16 as in its paper.
        channel_copies: as in `ImageClassifier`.

    Raises:
        ValueError: there is no such encoder, or it does not have these feature maps.
    """

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet18",
        in_channels: int = 3,
        pretrained: bool = False,
        taps: list[int] = [0, 1, 2, 3],  # noqa: B006 - never changed; jsonargparse prints it in --help
        hidden: list[int] = [256, 256],  # noqa: B006
        dropout: float = 0.3,
        reduction: int = 16,
        channel_copies: list[int] | None = None,
    ) -> None:
        super().__init__()
        if not taps or sorted(set(taps)) != list(taps) or taps[0] < 0:
            raise ValueError(f"GapNet: taps is {taps}, expected increasing indices of feature maps from 0")
        try:
            self.encoder = make_encoder(
                encoder, pretrained, in_channels, channel_copies, features_only=True, out_indices=tuple(taps)
            )
        except (IndexError, AssertionError, RuntimeError) as error:
            raise ValueError(f"GapNet: {encoder} has no feature maps at the depths {taps}: {error}") from error
        self.channels = self.encoder.feature_info.channels()
        self.channels_last = getattr(self.encoder, "output_fmt", "NCHW") == "NHWC"
        self.excite = nn.ModuleList([SqueezeExcite(count, rd_ratio=1 / reduction) for count in self.channels])
        self.num_features = sum(self.channels)
        self.head = linear_head(self.num_features, classes, hidden, dropout)

    def features(self, image: Tensor) -> Tensor:
        """Averages of all taps, `(N, num_features)`, shallowest first."""
        maps = self.encoder(image)
        maps = [values.movedim(-1, 1) for values in maps] if self.channels_last else maps
        return torch.cat([excite(values).mean((2, 3)) for excite, values in zip(self.excite, maps, strict=True)], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """`(N, C, H, W)` of any size -> `(N, classes)`."""
        return self.head(self.features(image))

"""GAPNet: global averages at several depths of an encoder (HPA 2018, 4th place)."""

import torch
from timm.layers import SqueezeExcite
from torch import Tensor, nn

from networks.encoder_weights import make_encoder
from networks.heads import linear_head


class GapNet(nn.Module):
    """Squeeze-and-excitation and a global average at each tapped depth, side by side, then fully connected layers.

    What the Wienerschnitzelgemeinschaft trained for HPA 2018: ResNet-18 tapped at its first ReLU and after stages 1, 2
    and 3 (64 + 64 + 128 + 256 = 512 features; stage 4 is not there), then dropout, 256, dropout, 256, dropout, logits.
    It resembles GapNet-PL (Rumetshofer et al., ICLR 2019), and has nothing to do with the GAPNet for point clouds.

    Args:
        classes: number of logits.
        encoder: any timm model with feature maps.
        in_channels: channels of the image.
        pretrained: as in `ImageClassifier`.
        taps: depths, 0 being the first feature map, at half the image's size in most encoders.
        hidden: sizes of the fully connected layers before the last.
        dropout: share that is dropped before each of them and the last.
        reduction: of the squeeze: channels / hidden channels of the excitation, 16 as in its paper.
        channel_copies: as in `ImageClassifier`.

    Raises:
        ValueError: no such encoder, or one with fewer feature maps than are tapped.
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
            raise ValueError(f"GapNet: taps are {taps}, expected depths from 0, each once and in order")
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
        """The averages of all taps, `(N, num_features)`, shallowest first."""
        maps = self.encoder(image)
        maps = [values.movedim(-1, 1) for values in maps] if self.channels_last else maps
        return torch.cat([excite(values).mean((2, 3)) for excite, values in zip(self.excite, maps, strict=True)], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """`(N, C, H, W)` of any size -> `(N, classes)`."""
        return self.head(self.features(image))

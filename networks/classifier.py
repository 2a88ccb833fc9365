"""Image classifiers of timm behind one constructor."""

from typing import Literal

import timm
from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """A timm encoder with a linear head: `(N, C, H, W)` -> logits `(N, classes)`.

    timm's own entry points take `**kwargs`, so that a config could not say what they accept.

    Args:
        encoder: name of a timm model: `resnet34`, `efficientnet_b0`, `convnext_tiny`, …
        classes: number of logits.
        in_channels: channels of the image; pretrained first layers are repeated and scaled to fit, as timm does it.
        pretrained: load timm's weights from its hub or cache.
        pooling: `avg`, `max`, or `catavgmax` (both, side by side).
        dropout: share of pooled features that are dropped before the head.
        drop_path: stochastic depth, in encoders that have it.

    Raises:
        ValueError: timm has no such model; names the nearest ones.
    """

    def __init__(
        self,
        encoder: str,
        classes: int,
        in_channels: int = 3,
        pretrained: bool = False,
        pooling: Literal["avg", "max", "catavgmax"] = "avg",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if encoder.split(".")[0] not in timm.list_models():
            near = timm.list_models(f"*{encoder.split('.')[0]}*")[:5]
            raise ValueError(f"timm has no model {encoder!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
        more = {"drop_path_rate": drop_path} if drop_path else {}
        self.model = timm.create_model(
            encoder,
            pretrained=pretrained,
            in_chans=in_channels,
            num_classes=classes,
            global_pool=pooling,
            drop_rate=dropout,
            **more,
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)

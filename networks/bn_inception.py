"""BN-Inception, missing from timm and smp (HPA 2018, iNaturalist, TSN)."""

from typing import Literal

from torch import Tensor, nn

from networks.encoder_weights import load_encoder
from networks.first_layer import set_in_channels
from networks.heads import ClassifierHead
from networks.pooling import pooling as make_pooling
from networks.weight_files import Wanted, find_weights_file
from networks.weight_sources import Statistics, stem_of

# The ImageNet weights were trained on images in [0, 255] minus their mean.
EXPECTED: Statistics = ([128 / 255, 117 / 255, 104 / 255], [1 / 255] * 3)


class BnInception(nn.Module):
    """BN-Inception (Ioffe & Szegedy 2015) of the package pretrainedmodels, with the poolings and heads of this project.

    `(N, C, H, W)` -> logits `(N, classes)`; 11.3 M parameters, 10.3 M without the classifier.

    The ImageNet weights were trained on BGR images in [0, 255] minus their mean. Their first layer is converted to RGB;
    a model without `mean` and `std` takes those that they expect, for images in [0, 1].

    Args:
        classes: as in `ImageClassifier`; 0 returns the features.
        in_channels: number of channels of the image; pretrained weights are adapted (`networks.first_layer`).
        pretrained: whether to load `bninception.pth` (Cadene's file) from `$WEIGHTS_DIR`, a mounted folder or the
            cache or, if missing, download it.
        pooling: `avg`, `max`, `catavgmax` or `gem`.
        dropout: dropout rate before each linear layer, in [0, 1); a list has one per layer.
        head: sizes of the fully connected layers before the last.
        head_norm: whether the head has batch norm before each layer.
        channel_copies: as in `ImageClassifier`.

    Raises:
        ImportError: pretrainedmodels is not installed.
        ValueError: the weights do not fit the network, or a side of the image is not a multiple of 32.
        OSError: no pretrained weights were found.
    """

    # Layers whose input is the last feature map of a size: 1/2, 1/4, 1/8 and 1/16.
    TAKERS = ("pool1_3x3_s2", "pool2_3x3_s2", "inception_3c_3x3_reduce", "inception_4e_3x3_reduce")
    CHANNELS = (64, 192, 320, 608, 1024)

    def __init__(
        self,
        classes: int | dict[str, int],
        in_channels: int = 3,
        pretrained: bool = False,
        pooling: Literal["avg", "max", "catavgmax", "gem"] = "avg",
        dropout: float | list[float] = 0.0,
        head: list[int] | None = None,
        head_norm: bool = False,
        channel_copies: list[int] | None = None,
    ) -> None:
        super().__init__()
        try:
            from pretrainedmodels.models.bninception import BNInception
        except ImportError as error:
            raise ImportError('BnInception needs pretrainedmodels: pip install -e ".[cadene]"') from error
        self.encoder = BNInception()
        del self.encoder.last_linear, self.encoder.global_pool
        self.encoder.weight_statistics = EXPECTED
        if pretrained:
            self._load()
        set_in_channels(self.encoder, in_channels, channel_copies if pretrained else None)
        self.pool, times = make_pooling(pooling)
        self.num_features = self.CHANNELS[-1] * times
        self.head = None if classes == 0 else ClassifierHead(self.num_features, classes, head, dropout, head_norm)

    def _load(self) -> None:
        from pretrainedmodels.models.bninception import pretrained_settings

        url = pretrained_settings["bninception"]["imagenet"]["url"]
        wanted = Wanted("bninception", ("bninception", *stem_of(url)), url=url)
        load_encoder(self.encoder, find_weights_file(wanted), "bninception")

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """Feature maps with `CHANNELS` channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""
        found: list[Tensor] = []
        takers = [self.encoder.get_submodule(name) for name in self.TAKERS]
        self._check(image)
        hooks = [taker.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0])) for taker in takers]
        try:
            last = self.encoder.features(image)
        finally:
            for hook in hooks:
                hook.remove()
        return [*found, last]

    def features(self, image: Tensor) -> Tensor:
        """Pooled features `(N, num_features)`: 1024, or 2048 for `catavgmax`."""
        self._check(image)
        return self.pool(self.encoder.features(image))

    def _check(self, image: Tensor) -> None:
        """Check the size: pooled and strided branches round odd sides differently."""
        if any(side % 32 for side in image.shape[2:]):
            raise ValueError(
                f"BnInception: the image has {tuple(image.shape[2:])} pixels, expected multiples of 32; crop to a "
                "multiple in data.augmentation, and leave model.inference.stride at 32, which pads"
            )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = self.features(image)
        return features if self.head is None else self.head(features)

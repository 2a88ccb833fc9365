"""Image classifiers with any timm encoder."""

from typing import Literal

from torch import Tensor, nn

from networks.encoder_weights import make_encoder
from networks.heads import ClassifierHead, EmbeddingNeck
from networks.pooling import pooling as make_pooling


class ImageClassifier(nn.Module):
    """A timm encoder, a pooling and a head: `(N, C, H, W)` -> logits `(N, classes)`.

    timm's own entry points take `**kwargs`, which a config cannot check.

    Args:
        encoder: name of a timm model: `resnet34`, `efficientnet_b0`, `convnext_tiny`, …; old names (`xception`,
            `senet154`, `se_resnext50_32x4d`) are translated, with a warning, to those with the same weights.
        classes: number of logits, or by name for several outputs, `{label: 28, grade: 4}`, returned as a tuple in this
            order. 0 returns features, for metric learning.
        in_channels: number of channels of the image; a pretrained first layer is adapted so that an image with equal
            channels gives the same responses.
        pretrained: whether to load weights from `$WEIGHTS_DIR/<encoder>.safetensors` (`.pth`, `.pt`, `.bin`, or a
            folder), a mounted folder or the cache or, if missing, from timm's hub.
        pooling: `native`, as in the encoder's training (mostly the mean; the class token of ViTs), or `avg`, `max`,
            `catavgmax` (both, concatenated) or `gem` (generalised mean of learnt power) over the last feature map.
        dropout: dropout rate before each linear layer of the head, in [0, 1); a list has one per layer.
        drop_path: stochastic depth rate, for encoders that support it.
        head: sizes of the fully connected layers before the last: `[1024, 512]` (see `networks.heads`).
        head_norm: whether the head has batch norm before each layer.
        channel_copies: index of the pretrained channel (0 red, 1 green, 2 blue) whose weights each image channel
            copies, undivided: `[0, 1, 2, 1]` starts the yellow of RGBY as green. Random weights are not copied.
        image_size: side, or `[height, width]`, for which a ViT or Swin is built (default: that of its weights; position
            embeddings are resampled). Encoders of any image size do not take it.
        embedding: size of the embedding for metric learning: a linear layer with batch norm between pooling and head.
            None for no such layer.
        return_features: whether to return the input of the head as the last output, for losses on both:
            `cross_entropy(label) + 0.003 * center(features, label, …)`.

    Raises:
        ValueError: timm has no such model or does not accept a setting, the weights do not fit, or the encoder does not
            support the size of an image.
    """

    def __init__(
        self,
        encoder: str,
        classes: int | dict[str, int],
        in_channels: int = 3,
        pretrained: bool = False,
        pooling: Literal["native", "avg", "max", "catavgmax", "gem"] = "native",
        dropout: float | list[float] = 0.0,
        drop_path: float = 0.0,
        head: list[int] | None = None,
        head_norm: bool = False,
        channel_copies: list[int] | None = None,
        image_size: int | list[int] | None = None,
        embedding: int | None = None,
        return_features: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(
            encoder,
            pretrained,
            in_channels,
            channel_copies,
            global_pool=None if pooling == "native" else "",
            drop_path_rate=drop_path or None,
            img_size=tuple(image_size) if isinstance(image_size, list) else image_size,
        )
        self.name = encoder
        pool, times = (None, 1) if pooling == "native" else make_pooling(pooling)
        self.pool = pool
        pooled = self.encoder.head_hidden_size * times
        self.neck = EmbeddingNeck(pooled, embedding) if embedding is not None else None
        self.num_features = pooled if embedding is None else embedding  # size of what `features` returns
        self.head = None if classes == 0 else ClassifierHead(self.num_features, classes, head, dropout, head_norm)
        if self.head is None and (head or head_norm or dropout):
            raise ValueError("classes is 0, so there is no head; remove head, head_norm and dropout")
        self.return_features = return_features and self.head is not None

    def features(self, image: Tensor) -> Tensor:
        """Pooled features `(N, num_features)`, or the embedding."""
        try:
            pooled = self.encoder(image)
        except AssertionError as error:  # from encoders of a fixed image size
            raise ValueError(self._size_text(image, error)) from error
        if self.pool is not None:
            pooled = self.pool(self._places(pooled))
        return pooled if self.neck is None else self.neck(pooled)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = self.features(image)
        if self.head is None:
            return features
        logits = self.head(features)
        if not self.return_features:
            return logits
        return (*logits, features) if isinstance(logits, tuple) else (logits, features)

    def _places(self, features: Tensor) -> Tensor:
        """The last feature map, channels second: `(N, C, h, w)`, or `(N, C, tokens)` without class tokens."""
        if features.ndim == 3:
            return features[:, getattr(self.encoder, "num_prefix_tokens", 0) :].transpose(1, 2)
        return features.movedim(-1, 1) if getattr(self.encoder, "output_fmt", "NCHW") == "NHWC" else features

    def _size_text(self, image: Tensor, error: AssertionError) -> str:
        built = getattr(getattr(self.encoder, "patch_embed", None), "img_size", None)
        built = built or tuple(self.encoder.pretrained_cfg["input_size"][1:])
        size, cause = tuple(image.shape[-2:]), str(error).rstrip(".")
        return (
            f"the image has {size[0]} x {size[1]} pixels, but encoder {self.name} was built for {built[0]} x "
            f"{built[1]} ({cause}); set the network's image_size: [{size[0]}, {size[1]}] if its windows divide that, "
            f"or resize images to {built[0]} x {built[1]} (data.augmentation and model.inference.size)"
        )

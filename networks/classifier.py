"""Image classifiers of timm behind one constructor."""

from typing import Literal

from torch import Tensor, nn

from networks.encoder_weights import make_encoder
from networks.heads import ClassifierHead, EmbeddingNeck
from networks.pooling import pooling as make_pooling


class ImageClassifier(nn.Module):
    """A timm encoder, a pooling and a head: `(N, C, H, W)` -> logits `(N, classes)`.

    timm's own entry points take `**kwargs`, so that a config could not say what they accept.

    Args:
        encoder: name of a timm model: `resnet34`, `efficientnet_b0`, `convnext_tiny`, …; old names (`xception`,
            `senet154`, `se_resnext50_32x4d`) are translated to the ones with the same weights, which is said.
        classes: number of logits; several outputs by name, `{label: 28, grade: 4}`, are returned as a tuple in this
            order; 0 returns features, for metric learning.
        in_channels: channels of the image; pretrained first layers are repacked so that an image equal in all channels
            gives the same responses.
        pretrained: load weights: from `$WEIGHTS_DIR/<encoder>.safetensors` (`.pth`, `.pt`, `.bin`, or a folder) where
            there is one, else from timm's hub or cache.
        pooling: `native`, as the encoder was trained (the mean of most; the class token of ViTs), or over its last
            feature map `avg`, `max`, `catavgmax` (both, side by side) or `gem` (generalised mean, its power learnt).
        dropout: share of features that are dropped before each linear layer of the head; a list has one per layer.
        drop_path: stochastic depth, in encoders that have it.
        head: sizes of fully connected layers before the last one: `[1024, 512]` (see `networks.heads`).
        head_norm: batch norm before each layer of the head.
        channel_copies: for each channel of the image the one of red, green, blue (0, 1, 2) whose pretrained weights it
            copies undivided: `[0, 1, 2, 1]` lets the yellow of RGBY start as green. Only pretrained weights are copied.
        image_size: side, or `[height, width]`, that a ViT or Swin is built for, where it is not the one of its weights
            (their position embeddings are resampled). Others take any size and do not know it.
        embedding: size of a linear layer with batch norm after the pooling: the embedding of metric learning, which
            the head then stands on. None has no such layer.
        return_features: return the features under the head as the last output, for losses over both:
            `cross_entropy(label) + 0.003 * center(features, label, …)`.

    Raises:
        ValueError: timm has no such model (names the nearest ones), a setting that it does not take, weights that do
            not fit (lists where), or an image of a size that it does not take.
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
        self.num_features = pooled if embedding is None else embedding  # of what `features` returns
        self.head = None if classes == 0 else ClassifierHead(self.num_features, classes, head, dropout, head_norm)
        if self.head is None and (head or head_norm or dropout):
            raise ValueError("classes is 0, so there is no head; leave head, head_norm and dropout out")
        self.return_features = return_features and self.head is not None

    def features(self, image: Tensor) -> Tensor:
        """Pooled features `(N, num_features)`, or the embedding."""
        try:
            pooled = self.encoder(image)
        except AssertionError as error:  # encoders of one size assert it
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
        """The last feature map with its channels second: `(N, C, h, w)`, or `(N, C, tokens)` without class tokens."""
        if features.ndim == 3:
            return features[:, getattr(self.encoder, "num_prefix_tokens", 0) :].transpose(1, 2)
        return features.movedim(-1, 1) if getattr(self.encoder, "output_fmt", "NCHW") == "NHWC" else features

    def _size_text(self, image: Tensor, error: AssertionError) -> str:
        built = getattr(getattr(self.encoder, "patch_embed", None), "img_size", None)
        built = built or tuple(self.encoder.pretrained_cfg["input_size"][1:])
        size, cause = tuple(image.shape[-2:]), str(error).rstrip(".")
        return (
            f"encoder {self.name} was built for images of {built[0]} x {built[1]} pixels and does not take "
            f"{size[0]} x {size[1]} ({cause}); set image_size: [{size[0]}, {size[1]}] of the network where its windows "
            f"divide that, or bring the images to {built[0]} x {built[1]} (data.augmentation and model.inference.size)"
        )

"""Heads: layers between pooled features and logits."""

from collections import OrderedDict

from torch import Tensor, nn


def linear_head(
    features: int,
    classes: int,
    hidden: list[int] | None = None,
    dropout: float | list[float] = 0.0,
    norm: bool = False,
) -> nn.Sequential:
    """Fully connected layers `(N, features)` -> `(N, classes)`; a single one unless `hidden` adds more.

    Each layer is [batch norm,] dropout, linear; a ReLU follows all but the last. So `hidden: [1024, 512]` with dropout
    0.5 replaced the last layer in Planet 2017 (3 linear layers), and `hidden: [512]`, `dropout: [0.25, 0.5]`, `norm:
    true` after `catavgmax` is the head of HPA 2018's 1st place (and of fast.ai): norm, dropout, linear, ReLU, norm,
    dropout, linear.

    Args:
        features: number of input features.
        classes: number of logits.
        hidden: sizes of the hidden layers.
        dropout: dropout rate before each linear layer, in [0, 1); a list has one per linear layer.
        norm: whether there is batch norm before each dropout. In training it needs two samples per batch.

    Raises:
        ValueError: a size is below 1, a rate is outside [0, 1), or the number of rates is not that of layers.
    """
    sizes = [features, *(hidden or []), classes]
    if min(sizes) < 1:
        raise ValueError(f"the head's layers are {sizes}, expected sizes of 1 or more")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, share in enumerate(dropout_shares(dropout, len(sizes) - 1)):
        if norm:
            layers[f"norm{number}"] = nn.BatchNorm1d(sizes[number])
        if share:
            layers[f"drop{number}"] = nn.Dropout(share)
        layers[f"linear{number}"] = nn.Linear(sizes[number], sizes[number + 1])
        if number < len(sizes) - 2:
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


def dropout_shares(dropout: float | list[float], layers: int) -> list[float]:
    """One dropout rate per layer.

    Raises:
        ValueError: a rate is outside [0, 1), or the number of rates is not that of layers.
    """
    shares = list(dropout) if isinstance(dropout, list) else [dropout] * layers
    if len(shares) != layers or not all(0 <= share < 1 for share in shares):
        raise ValueError(f"dropout is {dropout}, expected a rate in [0, 1), or one for each of {layers} linear layers")
    return shares


class EmbeddingNeck(nn.Sequential):
    """Linear layer and batch norm: pooled features `(N, F)` -> embedding `(N, size)` for metric learning.

    The linear layer has no bias, which the norm would cancel. HPA 2018's 1st place and the ArcFace paper (option E,
    arxiv.org/abs/1801.07698) use it.

    Args:
        features: number F of input features.
        size: size of the embedding; 512 in the paper.
        dropout: dropout rate before the linear layer, in [0, 1).
    """

    def __init__(self, features: int, size: int = 512, dropout: float = 0.0) -> None:
        if size < 1:
            raise ValueError(f"embedding is {size}, expected a size of 1 or more")
        parts = [("linear", nn.Linear(features, size, bias=False)), ("norm", nn.BatchNorm1d(size))]
        super().__init__(OrderedDict([("drop", nn.Dropout(dropout)), *parts] if dropout else parts))


class ClassifierHead(nn.Module):
    """One head per named output on the same features.

    Args:
        features: number of input features.
        classes: number of logits, or by name for several outputs: `{label: 28, grade: 4}`.
        hidden: sizes of the hidden layers of each head.
        dropout: as in `linear_head`.
        norm: as in `linear_head`.

    Returns (forward):
        Logits `(N, classes)`, or a tuple of these in the order of the names.
    """

    def __init__(
        self,
        features: int,
        classes: int | dict[str, int],
        hidden: list[int] | None = None,
        dropout: float | list[float] = 0.0,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.several = isinstance(classes, dict)
        named = classes if isinstance(classes, dict) else {"logits": classes}
        if not named:
            raise ValueError("classes is {}, expected at least one output by name: {label: 28}")
        self.heads = nn.ModuleDict(
            {name: linear_head(features, count, hidden, dropout, norm) for name, count in named.items()}
        )

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, ...]:
        logits = tuple(head(features) for head in self.heads.values())
        return logits if self.several else logits[0]

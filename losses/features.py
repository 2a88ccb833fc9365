"""What the losses over embeddings do to their inputs first."""

import torch
from torch import Tensor

from losses.inputs import Logits


def check_features(
    features: Tensor | Logits, target: Tensor, weight: Tensor | None = None, classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Check and prepare the inputs of a loss over embeddings; samples of weight 0 are taken out.

    Args:
        features: `(N, D)`; half types are raised to float32.
        target: class numbers `(N,)`.
        weight: `(N,)`.
        classes: how many there are.

    Returns:
        Features `(n, D)`, labels `(n,)` int64, weights `(n,)`.

    Raises:
        ValueError: shapes that do not match, with both; a class number outside the classes.
    """
    value = features.value if isinstance(features, Logits) else Logits(features).value
    if value.dim() != 2 or target.shape != value.shape[:1] or target.is_floating_point():
        raise ValueError(
            "a loss over embeddings wants features (N, D) and class numbers (N,). "
            f"Got: features {tuple(value.shape)}, target {tuple(target.shape)} {target.dtype}"
        )
    target = target.long()
    if weight is None:
        weight = torch.ones_like(value[:, 0])
    else:
        weight = weight.reshape(len(value), -1).amax(1).to(value.dtype)
        keep = weight > 0
        value, target, weight = value[keep], target[keep], weight[keep]
    if classes is not None and len(target) and not 0 <= int(target.min()) <= int(target.max()) < classes:
        wrong = target[(target < 0) | (target >= classes)][0]
        raise ValueError(f"class number {int(wrong)}, but the loss has classes={classes}")
    return value, target, weight


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `(n,)` by weights; 0 when nothing counts."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-12)

"""Shared input checks of the losses on embeddings."""

import torch
from torch import Tensor

from losses.inputs import Logits


def check_features(
    features: Tensor | Logits, target: Tensor, weight: Tensor | None = None, classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Check and prepare the inputs of a loss on embeddings; samples of weight 0 are dropped.

    Args:
        features: embeddings `(N, D)`; half precision is cast to float32.
        target: labels `(N,)`.
        weight: weights `(N,)` of the samples.
        classes: number of classes; None skips the check of the range.

    Returns:
        Features `(n, D)`, labels `(n,)` int64, weights `(n,)`.

    Raises:
        ValueError: the shapes do not match, or a label is outside 0 … classes − 1.
    """
    value = features.value if isinstance(features, Logits) else Logits(features).value
    if value.dim() != 2 or target.shape != value.shape[:1] or target.is_floating_point():
        raise ValueError(
            "a loss on embeddings expects features (N, D) and integer labels (N,). "
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
        raise ValueError(f"label is {int(wrong)}, expected 0 … {classes - 1}: the loss has classes={classes}")
    return value, target, weight


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of values `(n,)`; 0 if all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-12)

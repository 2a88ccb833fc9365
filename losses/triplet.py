"""Batch-hard triplet loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class TripletLoss(nn.Module):
    """max(0, m + d(a, p) − d(a, n)) with each anchor's farthest positive and nearest negative (Hermans et al. 2017).

    d is the Euclidean distance of embeddings `(N, D)`; arxiv.org/abs/1703.07737. Batches need two samples of a class:
    `data.sampler` with classes. Other miners: `pytorch_metric_learning` through `model.loss_terms`.

    Args:
        margin: margin m; None is the paper's soft margin log(1 + exp(d(a, p) − d(a, n))).
        normalise: whether to scale embeddings to length 1 first.

    Raises:
        ValueError: no anchor has a positive and a negative in a training batch.

    Example:
        >>> import torch
        >>> from losses.triplet import TripletLoss
        >>> embeddings = torch.tensor([[0.0], [0.2], [0.4], [0.6]])  # (N, D)
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(TripletLoss(margin=0.3)(embeddings, labels).item(), 3)
        0.2
    """

    def __init__(self, margin: float | None = 0.3, normalise: bool = False) -> None:
        super().__init__()
        self.margin, self.normalise = margin, normalise

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        features, labels, weights = check_features(logits, target, weight)
        features = F.normalize(features) if self.normalise else features
        same = labels[:, None] == labels[None]
        partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        anchors = partner.any(1) & ~same.all(1)
        if not anchors.any():
            if self.training and len(labels):
                raise ValueError(
                    f"triplet: no sample in a batch of {len(labels)} has both another of its class and one of another "
                    "class; set a sampler with several samples per class"
                )
            return features.sum() * 0
        with torch.no_grad():  # all pairs only to mine; the gradient needs two per row
            every = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
            farthest = every.masked_fill(~partner, -torch.inf).argmax(1)[anchors]
            nearest = every.masked_fill(same, torch.inf).argmin(1)[anchors]
        chosen = features[anchors]
        gap = _distance(chosen, features[farthest]) - _distance(chosen, features[nearest])
        loss = F.softplus(gap) if self.margin is None else (gap + self.margin).relu()
        return weighted_mean(loss, weights[anchors])


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Distance of each pair of rows; clamped above 0, where the gradient of the square root is infinite."""
    return (one - other).square().sum(-1).clamp_min(1e-12).sqrt()

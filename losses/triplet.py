"""Batch-hard triplets."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class TripletLoss(nn.Module):
    """max(0, m + d(a, p) − d(a, n)) with each anchor's farthest partner and nearest stranger (Hermans et al. 2017).

    d is the Euclidean distance of embeddings `(N, D)`; arxiv.org/abs/1703.07737. Needs two samples of a class in the
    batch: `data.sampler` with classes. Other miners: `pytorch_metric_learning` through `model.loss_terms`.

    Args:
        margin: m; None takes the paper's soft margin log(1 + exp(d(a, p) − d(a, n))).
        normalise: bring embeddings to length 1 first.

    Raises:
        ValueError: a training batch in which no anchor has a partner and a stranger.

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
                    f"triplet: no sample of a batch of {len(labels)} has one of its own class and one of another "
                    "beside it; set a sampler with samples per class"
                )
            return features.sum() * 0
        with torch.no_grad():  # all pairs only to choose; the gradient needs two of each row
            every = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
            farthest = every.masked_fill(~partner, -torch.inf).argmax(1)[anchors]
            nearest = every.masked_fill(same, torch.inf).argmin(1)[anchors]
        chosen = features[anchors]
        gap = _distance(chosen, features[farthest]) - _distance(chosen, features[nearest])
        loss = F.softplus(gap) if self.margin is None else (gap + self.margin).relu()
        return weighted_mean(loss, weights[anchors])


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Of each row; kept off 0, where the slope of the root is infinite."""
    return (one - other).square().sum(-1).clamp_min(1e-12).sqrt()

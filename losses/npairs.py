"""N-pairs loss."""

import torch
from torch import Tensor, nn

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class NpairsLoss(nn.Module):
    """Softmax over the products of anchors with all positives (Sohn 2016), as TensorFlow's `npairs_loss`.

    The samples of a class are paired: the first is the anchor, the second its positive. The target of an anchor is
    spread evenly over the positives of its class. Plus l2 / 4 · (mean ‖anchor‖² + mean ‖positive‖²), because products
    grow with the norms. Batches need two samples of a class: `data.sampler` with classes.

    Args:
        l2: weight of the squared norms; 0.002 in TensorFlow.

    Raises:
        ValueError: no class has two samples in a training batch.

    Example:
        >>> import torch
        >>> from losses.npairs import NpairsLoss
        >>> embeddings = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])  # (N, D), two of each class
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> loss = NpairsLoss(l2=0.0)
        >>> bool(loss(embeddings, labels) < loss(embeddings[[0, 2, 1, 3]], labels))  # similar or dissimilar positives
        True
    """

    def __init__(self, l2: float = 0.002) -> None:
        super().__init__()
        self.l2 = l2

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        features, labels, weights = check_features(logits, target, weight)
        first, second = pairs(labels)
        if not len(first):
            if self.training and len(labels):
                raise ValueError(
                    f"npairs: no class has two samples in a batch of {len(labels)}; set a sampler with several samples "
                    "per class"
                )
            return features.sum() * 0
        anchors, partners = features[first], features[second]
        same = (labels[first][:, None] == labels[second][None]).to(features.dtype)
        y = same / same.sum(1, keepdim=True)
        loss = -(y * (anchors @ partners.T).log_softmax(1)).sum(1)
        norms = anchors.square().sum(1).mean() + partners.square().sum(1).mean()
        return weighted_mean(loss, weights[first]) + self.l2 / 4 * norms


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the first and second sample of each pair within a class; an odd sample is left out."""
    order = labels.argsort(stable=True)
    ordered = labels[order]
    starts = torch.cat([ordered.new_ones(1, dtype=torch.bool), ordered[1:] != ordered[:-1]])[: len(ordered)]
    place = torch.arange(len(ordered), device=labels.device)
    rank = place - torch.where(starts, place, 0).cummax(0).values if len(ordered) else place
    first = (rank[:-1] % 2 == 0) & (ordered[1:] == ordered[:-1])
    at = place[:-1][first]
    return order[at], order[at + 1]

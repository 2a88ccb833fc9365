"""Additive angular margin loss."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class ArcfaceLoss(nn.Module):
    """Softmax over s · cos θ, with the true class at cos(θ + m) (Deng et al. 2019, arxiv.org/abs/1801.07698).

    θ is the angle between an embedding `(N, D)` and the learnt centre of the class. Where θ + m exceeds π,
    cos θ − m sin m is used instead, so that the loss stays monotonic.

    Args:
        classes: number of classes.
        embedding_dim: size D of the embeddings.
        scale: scale s; 30 in HPA 2018, 1st place; 64 in the paper.
        margin: margin m in radians, in [0, π/2); 0.5 is 28.6 in pytorch-metric-learning, which uses degrees.
        centers: number of sub-centres per class; the nearest is used. 3 for noisy labels (Deng et al. 2020).
        softmax_share: weight of a plain softmax over cos θ, in [0, 1]; 0.5 in HPA 2018, 1st place.
        lr: learning rate of the centres (default: that of the optimizer).

    Example:
        >>> import torch
        >>> from losses.arcface import ArcfaceLoss
        >>> _ = torch.manual_seed(0)
        >>> loss = ArcfaceLoss(classes=5, embedding_dim=8)
        >>> [tuple(parameter.shape) for parameter in loss.parameters()]  # the centres, trained with the network
        [(5, 8)]
        >>> embeddings, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 3])
        >>> plain = ArcfaceLoss(classes=5, embedding_dim=8, margin=0.0)
        >>> bool(loss(embeddings, labels) > plain(embeddings, labels))  # the margin makes the task harder
        True
    """

    def __init__(
        self,
        classes: int,
        embedding_dim: int,
        scale: float = 30.0,
        margin: float = 0.5,
        centers: int = 1,
        softmax_share: float = 0.0,
        lr: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise ValueError(f"arcface: margin is {margin}, expected radians in [0, π/2)")
        if not 0 <= softmax_share <= 1:
            raise ValueError(f"arcface: softmax_share is {softmax_share}, expected a number in [0, 1]")
        self.classes, self.scale, self.margin, self.centers, self.softmax_share = (
            classes,
            scale,
            margin,
            centers,
            softmax_share,
        )
        self.learning_rate = lr
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes * centers, embedding_dim)))

    def cosine(self, features: Tensor) -> Tensor:
        """Cosine similarity `(N, classes)` of each embedding to the nearest centre of each class."""
        if features.shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"arcface: embedding_dim is {self.weight.shape[1]}, the embeddings have {features.shape[1]}"
            )
        # A zero embedding has no direction; eps keeps its gradient within the range of float16.
        cosine = F.normalize(features, eps=1e-2) @ F.normalize(self.weight).to(features.dtype).T
        return cosine.view(len(features), self.classes, self.centers).amax(-1)

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        features, labels, weights = check_features(logits, target, weight, self.classes)
        cosine = self.cosine(features)
        true = cosine.gather(1, labels[:, None])
        # The gradient of the square root is infinite at 0.
        sine = (1 - true**2).clamp_min(1e-12).sqrt()
        moved = true * math.cos(self.margin) - sine * math.sin(self.margin)
        moved = torch.where(true > -math.cos(self.margin), moved, true - self.margin * math.sin(self.margin))
        scores = self.scale * cosine.scatter(1, labels[:, None], moved)
        loss = F.cross_entropy(scores, labels, reduction="none")
        if self.softmax_share:
            loss = (1 - self.softmax_share) * loss + self.softmax_share * F.cross_entropy(
                cosine, labels, reduction="none"
            )
        return weighted_mean(loss, weights)

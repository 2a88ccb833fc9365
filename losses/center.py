"""Center loss."""

import torch
from torch import Tensor, nn

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class CenterLoss(nn.Module):
    """½ · mean ‖x − c_y‖² over the batch (Wen et al. 2016): embeddings of a class gather around their centre.

    It is added to a softmax loss with a small factor: `cross_entropy(label) + 0.003 * center(embedding, label, …)`.
    After each training step the centres move by the paper's rule, c ← c − lr · Σ(c − x) / (1 + count), over all ranks;
    the optimizer does not touch them, so neither its rate nor its decay nor the factor matters.

    Args:
        classes: how many there are.
        embedding_dim: D of the embeddings `(N, D)`.
        lr: how far a centre moves towards its samples; 0.5 in the paper.

    Example:
        >>> import torch
        >>> from losses.center import CenterLoss
        >>> loss = CenterLoss(classes=2, embedding_dim=3)
        >>> _ = loss.centers.zero_()
        >>> embeddings = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> loss.eval()(embeddings, torch.tensor([0, 1])).item()  # half the mean of 1 and 4
        1.25
    """

    def __init__(self, classes: int, embedding_dim: int, lr: float = 0.5) -> None:
        super().__init__()
        self.classes, self.lr = classes, lr
        self.register_buffer("centers", torch.zeros(classes, embedding_dim))

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        features, labels, weights = check_features(logits, target, weight, self.classes)
        if features.shape[1] != self.centers.shape[1]:
            raise ValueError(
                f"center: embedding_dim is {self.centers.shape[1]}, the embeddings have {features.shape[1]}"
            )
        loss = weighted_mean((features - self.centers[labels].to(features.dtype)).square().sum(1) / 2, weights)
        if self.training:
            self._move(features.detach(), labels)
        return loss

    @torch.no_grad()
    def _move(self, features: Tensor, labels: Tensor) -> None:
        away = torch.zeros_like(self.centers).index_add(0, labels, self.centers[labels] - features.to(self.centers))
        count = torch.bincount(labels, minlength=self.classes).to(self.centers)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(away)
            torch.distributed.all_reduce(count)
        self.centers -= self.lr * away / (1 + count[:, None])

"""Center loss."""

import torch
from torch import Tensor, nn

from losses.features import check_features, weighted_mean
from losses.inputs import Logits


class CenterLoss(nn.Module):
    """½ · mean ‖x − c_y‖² over the batch (Wen et al. 2016): pulls the embeddings of a class to their centre.

    Add it to a softmax loss with a small factor: `cross_entropy(label) + 0.003 * center(embedding, label, …)`. After
    each training step the centres move by the paper's rule, c ← c − lr · Σ(c − x) / (1 + count), over all ranks. The
    optimizer does not update them: its learning rate, its weight decay and the factor have no effect on them.

    Args:
        classes: number of classes.
        embedding_dim: size D of the embeddings `(N, D)`.
        lr: learning rate of the centres; 0.5 in the paper.

    Example:
        >>> import torch
        >>> from losses.center import CenterLoss
        >>> loss = CenterLoss(classes=2, embedding_dim=3)
        >>> _ = loss.centers.zero_()
        >>> embeddings = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> loss.eval()(embeddings, torch.tensor([0, 1])).item()  # half the mean of 1 and 4
        1.25
    """

    centers: Tensor

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

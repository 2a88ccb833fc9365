"""Ring loss."""

import torch
from torch import Tensor, nn

from losses.inputs import Logits


class RingLoss(nn.Module):
    """½ · mean (‖x‖ − R)² of embeddings, with a learnt R (Zheng et al. 2018, arxiv.org/abs/1803.00130).

    It equalises the norms, so that a softmax loss depends on angles: `cross_entropy(label) + 0.01 * ring(embedding)`.
    It needs no target.

    Args:
        radius: initial R (default: the mean norm of the first batch).
        lr: learning rate of R (default: that of the optimizer).

    Example:
        >>> import torch
        >>> from losses.ring import RingLoss
        >>> embeddings = torch.tensor([[3.0, 4.0], [0.0, 7.0]])  # norms 5 and 7
        >>> RingLoss(radius=6.0)(embeddings).item()  # half the mean of 1 and 1
        0.5
    """

    needs_target = False

    started: Tensor

    def __init__(self, radius: float | None = None, lr: float | None = None) -> None:
        super().__init__()
        self.learning_rate = lr
        self.radius = nn.Parameter(torch.tensor(1.0 if radius is None else float(radius)))
        self.register_buffer("started", torch.tensor(radius is not None))

    def forward(self, logits: Tensor | Logits, target: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        value = logits.value if isinstance(logits, Logits) else Logits(logits).value
        if value.dim() != 2:
            raise ValueError(f"ring: expected embeddings (N, D), got {tuple(value.shape)}")
        if weight is not None:
            weight = weight.reshape(len(value), -1).amax(1).to(value.dtype)
            value, weight = value[weight > 0], weight[weight > 0]
        norms = torch.linalg.vector_norm(value, dim=1)
        weight = torch.ones_like(norms) if weight is None else weight
        total = weight.sum().clamp_min(1e-12)
        if self.training and not self.started and len(norms):
            with torch.no_grad():
                self.radius.copy_((norms * weight).sum() / total)
                self.started.fill_(True)
        return ((norms - self.radius.to(norms.dtype)).square() * weight).sum() / (2 * total)

"""Cross-entropy over classes."""

import torch
from torch import Tensor, nn

from losses.inputs import Logits, check


class CrossEntropyLoss(nn.Module):
    """Mean of −log softmax of the true class; also for soft targets in the logits' shape.

    Args:
        smoothing: label smoothing: truth is drawn towards the uniform distribution by this share.
        class_weight: one factor per class; the mean is then weighted, as in torch.
        ignore_index: class number that does not count.

    Example:
        >>> import torch
        >>> from losses.cross_entropy import CrossEntropyLoss
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # (N, C); maps are (N, C, H, W)
        >>> round(CrossEntropyLoss()(logits, torch.tensor([0, 1])).item(), 4)
        0.6691
        >>> round(CrossEntropyLoss()(logits, torch.tensor([0, 255])).item(), 4)  # 255 does not count
        0.2395
    """

    def __init__(
        self, smoothing: float = 0.0, class_weight: list[float] | None = None, ignore_index: int = 255
    ) -> None:
        super().__init__()
        self.smoothing, self.ignore_index = smoothing, ignore_index
        weights = None if class_weight is None else torch.tensor(class_weight)
        self.register_buffer("class_weight", weights, persistent=False)

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight, self.ignore_index)
        classes = inputs.target.shape[1]
        truth = inputs.target * (1 - self.smoothing) + self.smoothing / classes
        counted = torch.ones_like(truth[:, :1]) if inputs.weight is None else inputs.weight
        if self.class_weight is None:
            loss = -(truth * inputs.logits.log_softmax).sum(1, keepdim=True)
        else:
            if len(self.class_weight) != classes:
                raise ValueError(f"cross_entropy: {len(self.class_weight)} class weights for {classes} classes")
            factor = self.class_weight.to(truth.dtype).reshape(-1, *[1] * (truth.dim() - 2))
            loss = -(truth * factor * inputs.logits.log_softmax).sum(1, keepdim=True)
            counted_true = counted * (inputs.target * factor).sum(1, keepdim=True)
            return (loss * counted).sum() / counted_true.sum().clamp_min(1e-12)
        return (loss * counted).sum() / counted.expand_as(loss).sum().clamp_min(1e-12)

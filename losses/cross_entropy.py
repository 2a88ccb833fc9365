"""Cross-entropy over classes."""

import torch
from torch import Tensor, nn

from losses.inputs import Logits, check


class CrossEntropyLoss(nn.Module):
    """Mean of −log softmax of the target class; also for soft targets of the logits' shape.

    Args:
        smoothing: label smoothing, in [0, 1]: the target moves towards the uniform distribution by this fraction.
        class_weight: one factor per class; the mean is then weighted, as in torch.
        ignore_index: class number of ignored pixels.

    Example:
        >>> import torch
        >>> from losses.cross_entropy import CrossEntropyLoss
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # (N, C); maps are (N, C, H, W)
        >>> round(CrossEntropyLoss()(logits, torch.tensor([0, 1])).item(), 4)
        0.6691
        >>> round(CrossEntropyLoss()(logits, torch.tensor([0, 255])).item(), 4)  # 255 is ignored
        0.2395
    """

    class_weight: Tensor | None

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
        y = inputs.target * (1 - self.smoothing) + self.smoothing / classes
        counted = torch.ones_like(y[:, :1]) if inputs.weight is None else inputs.weight
        if self.class_weight is None:
            loss = -(y * inputs.logits.log_softmax).sum(1, keepdim=True)
        else:
            if len(self.class_weight) != classes:
                raise ValueError(
                    f"cross_entropy: class_weight has {len(self.class_weight)} values, expected one for each of "
                    f"{classes} classes"
                )
            factor = self.class_weight.to(y.dtype).reshape(-1, *[1] * (y.dim() - 2))
            loss = -(y * factor * inputs.logits.log_softmax).sum(1, keepdim=True)
            counted_true = counted * (inputs.target * factor).sum(1, keepdim=True)
            return (loss * counted).sum() / counted_true.sum().clamp_min(1e-12)
        return (loss * counted).sum() / counted.expand_as(loss).sum().clamp_min(1e-12)

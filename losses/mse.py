"""Mean squared error."""

from typing import Literal

from torch import Tensor, nn

from losses.inputs import Logits, check


class MseLoss(nn.Module):
    """Mean of (p − y)², also for soft labels.

    Args:
        on: values compared with the target: `probability` after the activation, `logit` before it (regression).

    Example:
        >>> import torch
        >>> from losses.mse import MseLoss
        >>> logits = torch.zeros(1, 1, 2, 2)  # a probability of 0.5 everywhere
        >>> target = torch.ones(1, 1, 2, 2)
        >>> MseLoss()(logits, target).item(), MseLoss(on="logit")(logits, target).item()
        (0.25, 1.0)
    """

    def __init__(self, on: Literal["probability", "logit"] = "probability") -> None:
        super().__init__()
        if on not in ("probability", "logit"):
            raise ValueError(f"mse: on is {on!r}, expected 'probability' or 'logit'")
        self.on = on

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        predicted = inputs.probabilities if self.on == "probability" else inputs.logits.value
        return inputs.mean((predicted - inputs.target) ** 2)

"""Mean squared error."""

from typing import Literal

from torch import Tensor, nn

from losses.inputs import Logits, check


class MseLoss(nn.Module):
    """Mean of (p − y)², also for soft labels.

    Args:
        on: `probability` compares the activated output, `logit` the raw one (regression).
    """

    def __init__(self, on: Literal["probability", "logit"] = "probability") -> None:
        super().__init__()
        if on not in ("probability", "logit"):
            raise ValueError(f"mse: on is 'probability' or 'logit', got {on!r}")
        self.on = on

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        predicted = inputs.probabilities if self.on == "probability" else inputs.logits.value
        return inputs.mean((predicted - inputs.target) ** 2)

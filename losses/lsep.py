"""Log-sum-exp pairwise ranking."""

from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check

NOWHERE = -1e9  # finite, so that the gradient of a sample without positives or negatives is 0, not NaN


class LsepLoss(nn.Module):
    """log(1 + Σ exp(f_v − f_u)) over absent classes v and present classes u (Li et al. 2017).

    arxiv.org/abs/1704.03135. Mean over samples, as in the paper (HPA 2018, 8th place, summed the batch inside the
    logarithm). It only ranks classes: thresholds must be tuned per class. The loss of a sample with no class, or with
    all classes, is 0.

    Example:
        >>> import torch
        >>> from losses.lsep import LsepLoss
        >>> scores = torch.tensor([[3.0, 1.0, -1.0]])  # (N, C)
        >>> round(LsepLoss()(scores, torch.tensor([[1, 0, 0]])).item(), 3)  # the present class ranks first
        0.143
        >>> round(LsepLoss()(scores, torch.tensor([[0, 0, 1]])).item(), 3)  # ranks last
        4.143
    """

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        scores, positive = inputs.logits.value, inputs.target > 0.5
        counted = None if inputs.weight is None else inputs.weight.expand_as(scores)
        present, absent = positive, ~positive
        if counted is not None:
            present, absent = present & (counted > 0), absent & (counted > 0)
        high = scores.masked_fill(~absent, NOWHERE).logsumexp(1)
        low = (-scores).masked_fill(~present, NOWHERE).logsumexp(1)
        loss = F.softplus(high + low, threshold=50)
        if counted is None:
            return loss.mean()
        each = counted.amax(1)
        return (loss * each).sum() / each.sum().clamp_min(1e-12)

"""Binary cross-entropy of the hardest pixels."""

from torch import Tensor, nn

from losses.inputs import Logits, check


class TopKBceLoss(nn.Module):
    """Mean of the largest cross-entropies of the batch (Wu et al. 2016; nnU-Net's `TopKLoss`).

    For targets of class numbers it is the softmax cross-entropy of the hardest pixels.

    Args:
        share: fraction of the valid pixels, in (0, 1]; 0.1 in nnU-Net.

    Example:
        >>> import torch
        >>> from losses.bce import BceLoss
        >>> from losses.top_k_bce import TopKBceLoss
        >>> logits = torch.full((1, 1, 10, 10), -4.0)
        >>> target = torch.zeros(1, 1, 10, 10)
        >>> target[..., :1] = 1  # a tenth of the pixels is missed, the rest are easy
        >>> round(TopKBceLoss(share=0.1)(logits, target).item(), 3), round(BceLoss()(logits, target).item(), 3)
        (4.018, 0.418)
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"top_k_bce: share is {share}, expected a fraction in (0, 1]")
        self.share = share

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        if inputs.index is None:
            loss, factor = inputs.cross_entropy, inputs.weight
        else:
            loss = -(inputs.target * inputs.logits.log_softmax).sum(1, keepdim=True)
            factor = None if inputs.weight is None else inputs.weight.amax(1, keepdim=True)
        if factor is None:
            return loss.flatten().topk(self._count(loss.numel())).values.mean()
        factor = factor.expand_as(loss)
        kept = (loss * factor)[factor > 0]
        if not len(kept):
            return loss.sum() * 0
        values, places = kept.topk(self._count(len(kept)))
        return values.sum() / factor[factor > 0][places].sum()

    def _count(self, pixels: int) -> int:
        return max(1, round(self.share * pixels))

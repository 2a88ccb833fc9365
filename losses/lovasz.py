"""The Lovász extension of the Jaccard loss."""

from typing import Literal

import torch
from torch import Tensor, nn

from losses.inputs import Inputs, Logits, check

BINS = 2**14


class LovaszLoss(nn.Module):
    """Surrogate that optimises intersection over union directly (Berman et al. 2018, https://arxiv.org/abs/1705.08790).

    For targets of class numbers: Lovász-softmax, mean over the classes present. For masks: each channel separately.

    Args:
        symmetric: whether to average L(x, y) and L(−x, 1 − y), so that the background has the same weight as the
            foreground (selim_sef; HPA, 1st place).
        per_image: whether to average one loss per image instead of computing one over the batch.
        form: `hinge` on the logits, or `sigmoid` on probabilities; for masks only.

    Example:
        >>> import torch
        >>> from losses.lovasz import LovaszLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]]])
        >>> logits = torch.tensor([[[[3.0, -1.0], [-3.0, -3.0]]]])  # one pixel of two missed
        >>> round(LovaszLoss()(logits, target).item(), 3), round(LovaszLoss(symmetric=True)(logits, target).item(), 3)
        (1.0, 0.833)
    """

    def __init__(
        self, symmetric: bool = False, per_image: bool = False, form: Literal["hinge", "sigmoid"] = "hinge"
    ) -> None:
        super().__init__()
        if form not in ("hinge", "sigmoid"):
            raise ValueError(f"lovasz: form is {form!r}, expected 'hinge' or 'sigmoid'")
        self.symmetric, self.per_image, self.form = symmetric, per_image, form

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        losses = [self._errors(inputs, inverted=False)]
        if self.symmetric and inputs.index is None:
            losses.append(self._errors(inputs, inverted=True))
        return torch.stack(losses).mean()

    def _errors(self, inputs: Inputs, inverted: bool) -> Tensor:
        target = 1 - inputs.target if inverted else inputs.target
        if inputs.index is not None:
            errors = (target - inputs.logits.softmax).abs()
        elif self.form == "hinge":
            value = -inputs.logits.value if inverted else inputs.logits.value
            errors = (1 - value * (2 * target - 1)).relu()
        else:
            errors = (inputs.target - inputs.logits.sigmoid).abs()
        if inputs.weight is not None:  # error 0 and target 0: ignored pixels change nothing
            keep = (inputs.weight > 0).to(target.dtype).expand_as(target)
            errors, target = errors * keep, target * keep
        groups = (target.shape[0], target.shape[1], -1)
        errors, target = errors.reshape(groups), target.reshape(groups)
        if not self.per_image:
            errors, target = (part.transpose(0, 1).flatten(1)[None] for part in (errors, target))
        losses = _lovasz(errors, target, inputs.hard)
        if inputs.index is not None:
            present = (target.sum(-1) > 0).to(losses.dtype)
            losses = (losses * present).sum(-1, keepdim=True) / present.sum(-1, keepdim=True).clamp_min(1)
        return inputs.mean_of_images(losses) if self.per_image else losses.mean()


def _lovasz(errors: Tensor, target: Tensor, hard: bool) -> Tensor:
    """Lovász extension along the last axis."""
    return _sorted(errors, target) if errors.shape[-1] < BINS or not hard else _binned(errors, target)


def _binned(errors: Tensor, target: Tensor) -> Tensor:
    """The same without sorting: pixels with errors in the same one of 2^14 bins share a step of the Jaccard index.

    Within a bin errors differ by at most max / 2^14 and steps hardly at all, so the value equals that of sorting to
    about 1e-8, and is more accurate than a float32 sum over millions of sorted pixels. If the target, of 0 and 1, is
    empty, the loss is the largest error, computed exactly.
    """
    rows, mask = errors.flatten(0, -2), target.flatten(0, -2)
    with torch.no_grad():
        top = rows.amax(-1, keepdim=True).clamp_min(1e-30)
        # Bin 0 holds the largest errors, bin BINS errors of 0, whose step has no effect. Even indices: background.
        places = (rows * (-BINS / top)).add_(BINS).floor_().mul_(2).add_(mask).to(torch.int32)
        width = 2 * (BINS + 1)
        if len(rows) > 1:
            places += torch.arange(len(rows), dtype=torch.int32, device=rows.device)[:, None] * width
        places = places.flatten()
        count = torch.bincount(places, minlength=len(rows) * width).double().view(len(rows), -1, 2)
        outside, inside = count.unbind(-1)
        found, invented = inside.cumsum(-1), outside.cumsum(-1)
        total = found[:, -1:]

        def jaccard(found: Tensor, invented: Tensor) -> Tensor:
            return 1 - (total - found) / (total + invented).clamp_min(1e-7)

        before = jaccard(found - inside, invented - outside)
        after = jaccard(found, invented)
        first, second = jaccard(found, invented - outside), jaccard(found - inside, invented)
        # The step of a bin, split between foreground and background: the mean over both orders of the two.
        step_inside = (first - before + after - second) / (2 * inside.clamp_min(1e-7))
        step_outside = (second - before + after - first) / (2 * outside.clamp_min(1e-7))
        table = torch.stack([step_outside, step_inside], dim=-1).to(rows.dtype).flatten()
        steps = table.index_select(0, places).view_as(rows)
    losses = torch.linalg.vecdot(rows, steps)
    losses = torch.where(total[:, 0] > 0, losses, rows.amax(-1))
    return losses.view(errors.shape[:-1])


def _sorted(errors: Tensor, target: Tensor) -> Tensor:
    ordered, order = errors.sort(dim=-1, descending=True)
    target = target.gather(-1, order)
    total = target.sum(-1, keepdim=True)
    intersection = total - target.cumsum(-1)
    union = total + (1 - target).cumsum(-1)
    jaccard = 1 - intersection / union.clamp_min(1e-7)
    steps = torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], dim=-1)
    return (ordered * steps.detach()).sum(-1)

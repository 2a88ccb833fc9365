"""Losses of other libraries in the formula: what they are called with, and weights that most of them do not know."""

import inspect

import torch
from torch import Tensor, nn

from losses.inputs import Logits, shaped_weight
from masks.void import VOID

IDS = (torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32)  # class numbers are int64, or bytes of a file
MEANS = ("mean", "none")  # what a formula takes of "none" is its mean


def library_loss(name: str, module: nn.Module, logits: Tensor, target: Tensor | None, weight: Tensor | None) -> Tensor:
    """The loss that a library's class finds, weighted.

    The target is cast to what such classes take: to the logits' type, or to int64 where it holds class numbers
    `(N, *spatial)`; MONAI's `to_onehot_y` gets those as `(N, 1, *spatial)`. Where all pixels weigh the same, that is
    all. Else images of weight 0 are taken out of the batch, and what does not count cannot be seen: logits and target
    are 0 there, or the target is the class's own `ignore_index`. Its values are weighted where `reduction="none"` gives
    one for each pixel (or image). A class without this leaves pixels out by an `ignore_index`.

    Args:
        name: of the term.
        module: called as `(logits, target)`; one whose `forward` takes a `weight`, as the losses of this folder do, as
            `(logits, target, weight=weight)` with all as it is.
        logits: `(N, C, *spatial)` or `(N, C)`.
        target: of any type; None for a class that needs none, which is called as it is.
        weight: `(N,)` per image, or broadcastable to the logits; 0 = ignored.

    Raises:
        ValueError: the batch has other weights than the class can take; says what to do.
    """
    value = Logits(logits).value
    if "weight" in inspect.signature(module.forward).parameters:
        return module(value, target, weight=weight)
    if target is None:
        return module(value, None)
    numbers = _class_numbers(value, target)
    weights = torch.ones_like(value[:, :1]) if weight is None else shaped_weight(weight, value).to(value.dtype)
    weights = weights.expand(len(value), -1, *value.shape[2:])
    if numbers and target.dtype not in IDS and (value.dim() > 2 or value.shape[1] <= VOID):
        weights = weights * (target != VOID).unsqueeze(1)
    target = target.long() if numbers else target.to(value.dtype)
    counted = weights.amax(1, keepdim=True) > 0
    images = counted.flatten(1).any(1)
    if not images.any():
        return value[:0].sum()
    if not images.all():
        value, target, weights, counted = value[images], target[images], weights[images], counted[images]
    if (weights == weights.amax()).all():
        return _called(module, value, target, numbers).mean()
    fill = getattr(module, "ignore_index", None)
    fill = fill if isinstance(fill, int) else None
    seen = counted if target.dim() == value.dim() else counted.squeeze(1)
    target, value = torch.where(seen, target, fill or 0), torch.where(counted, value, 0)
    found = _each(module, value, target, numbers)
    loss = None if found is None else _weighted(module, found, weights, target, numbers)
    if loss is not None:
        return loss
    if fill is not None and (weights[counted.expand_as(weights)] == weights.amax()).all():
        return _called(module, value, target, numbers)
    kind = f"{type(module).__module__.partition('.')[0]}.{type(module).__name__}"
    share = 100 * float((weights < weights.amax()).float().mean())
    raise ValueError(
        f"model.loss_terms: {name!r} ({kind}) takes all pixels alike: reduction='none' gives no value for each, "
        f"and it has no ignore_index. But of this batch {share:.3g} % count less than the rest, or not at all (void in "
        "targets or images, data.weights, external rows, what a rotation uncovers). Set its ignore_index: 255, if its "
        "class takes one, or take a loss of losses/ in its place"
    )


def _class_numbers(value: Tensor, target: Tensor) -> bool:
    """Whether a target holds a whole number for each pixel, or image, of several channels."""
    shape = (value.shape[0], *value.shape[2:])
    return not target.is_floating_point() and value.dim() > 1 and value.shape[1] > 1 and target.shape == shape


def _called(module: nn.Module, value: Tensor, target: Tensor, numbers: bool) -> Tensor:
    one_hot = numbers and any(getattr(part, "to_onehot_y", False) for part in module.modules())
    return module(value, target.unsqueeze(1) if one_hot else target)


def _each(module: nn.Module, value: Tensor, target: Tensor, numbers: bool) -> Tensor | None:
    """What the class gives before it takes the mean or the sum; None where it cannot be asked."""
    kept = getattr(module, "reduction", None)
    if kept not in (*MEANS, "sum"):
        return None
    module.reduction = "none"
    try:
        return _called(module, value, target, numbers)
    finally:
        module.reduction = kept


def _weighted(module: nn.Module, found: Tensor, weights: Tensor, target: Tensor, numbers: bool) -> Tensor | None:
    """The weighted mean, or sum, of one value for each pixel (or image); None where the values are others."""
    if not found.dim() or len(found) != len(weights):
        return None
    if found.dim() == weights.dim() - 1:
        found = found.unsqueeze(1)
    found = found.reshape(*found.shape, *[1] * (weights.dim() - found.dim()))
    by_pixel = weights.amax(1, keepdim=True)
    if found.shape[2:] != weights.shape[2:]:
        of_images = by_pixel.flatten(1)
        if found[0, 0].numel() != 1 or not (of_images == of_images[:, :1]).all():
            return None
        by_pixel = of_images[:, 0].reshape(-1, *[1] * (found.dim() - 1))
    elif found.shape == weights.shape:
        by_pixel = weights
    total = (found * by_pixel).sum()
    if module.reduction == "sum":
        return total
    if numbers and isinstance(module, nn.CrossEntropyLoss | nn.NLLLoss) and module.weight is not None:
        # torch divides by the weights of the true classes.
        by_pixel = by_pixel * module.weight[torch.where(by_pixel.squeeze(1) > 0, target, 0)].unsqueeze(1)
    return total / by_pixel.expand_as(found).sum().clamp_min(1e-12)

"""Losses of other libraries in the formula: how they are called, and how pixel weights, which few support, apply."""

import inspect

import torch
from torch import Tensor, nn

from losses.inputs import Logits, shaped_weight
from masks.void import VOID

IDS = (
    torch.int8,
    torch.int16,
    torch.int32,
    torch.uint16,
    torch.uint32,
)  # class numbers are int64, or uint8 from a file
MEANS = ("mean", "none")  # a formula takes the mean of "none"


def library_loss(name: str, module: nn.Module, logits: Tensor, target: Tensor | None, weight: Tensor | None) -> Tensor:
    """The weighted loss of a library's class.

    The target is cast to the logits' type, or to int64 if it holds class numbers `(N, *spatial)`; MONAI's `to_onehot_y`
    gets those as `(N, 1, *spatial)`. If all pixels have the same weight, nothing else changes. Otherwise images of
    weight 0 are dropped from the batch, and ignored pixels are hidden: logits and target are 0 there, or the target is
    the class's `ignore_index`. If `reduction="none"` gives one value per pixel (or image), these values are weighted. A
    class without it ignores pixels by its `ignore_index`.

    Args:
        name: name of the term.
        module: loss called as `(logits, target)`; if its `forward` takes a `weight`, as the losses of this folder do,
            it is called as `(logits, target, weight=weight)` with unchanged inputs.
        logits: `(N, C, *spatial)` or `(N, C)`.
        target: target of any type; None for a class that needs none.
        weight: `(N,)` per image, or broadcastable to the logits; 0 = ignored.

    Raises:
        ValueError: the class cannot apply the weights of the batch.
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
        f"model.loss_terms: {name!r} ({kind}) cannot weight pixels: reduction='none' gives no value per pixel, and it "
        f"has no ignore_index. But {share:.3g} % of this batch are ignored or have a lower weight (void in targets or "
        "images, data.weights, external rows, borders exposed by a rotation). Set ignore_index: 255, if the class "
        "takes it, or use a loss of losses/ instead"
    )


def _class_numbers(value: Tensor, target: Tensor) -> bool:
    """Whether a target holds class numbers: one integer per pixel, or image, for several channels."""
    shape = (value.shape[0], *value.shape[2:])
    return not target.is_floating_point() and value.dim() > 1 and value.shape[1] > 1 and target.shape == shape


def _called(module: nn.Module, value: Tensor, target: Tensor, numbers: bool) -> Tensor:
    one_hot = numbers and any(getattr(part, "to_onehot_y", False) for part in module.modules())
    return module(value, target.unsqueeze(1) if one_hot else target)


def _each(module: nn.Module, value: Tensor, target: Tensor, numbers: bool) -> Tensor | None:
    """The values before reduction to mean or sum; None if the class has no `reduction`."""
    kept = getattr(module, "reduction", None)
    if kept not in (*MEANS, "sum"):
        return None
    module.reduction = "none"  # type: ignore[assignment]  # torch types attributes as tensors
    try:
        return _called(module, value, target, numbers)
    finally:
        module.reduction = kept


def _weighted(module: nn.Module, found: Tensor, weights: Tensor, target: Tensor, numbers: bool) -> Tensor | None:
    """The weighted mean, or sum, of one value per pixel (or image); None for values of another shape."""
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
        # torch divides by the weights of the target classes.
        by_pixel = by_pixel * module.weight[torch.where(by_pixel.squeeze(1) > 0, target, 0)].unsqueeze(1)
    return total / by_pixel.expand_as(found).sum().clamp_min(1e-12)

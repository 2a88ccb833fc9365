"""Shared input handling of the losses: activations, types, shapes, weights."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from losses import analytic
from masks.void import VOID


class Logits:
    """Logits of one output with their activations, each computed once and shared by all losses.

    Args:
        value: logits `(N, C, *spatial)` or `(N, C)`; half precision is cast to float32, float64 is kept.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        self.checked: list[tuple[Tensor, Tensor | None, int, Inputs]] = []  # inputs checked so far
        self._kept: dict[str, Tensor] = {}

    def _once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        # Not functools.cached_property: its lock stops torch.compile.
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    @property
    def sigmoid(self) -> Tensor:
        return self._once("sigmoid", self.value.sigmoid)

    @property
    def log_sigmoid(self) -> Tensor:
        return self._once("log_sigmoid", lambda: F.logsigmoid(self.value))

    @property
    def softmax(self) -> Tensor:
        return self._once("softmax", lambda: self.log_softmax.exp())

    @property
    def log_softmax(self) -> Tensor:
        return self._once("log_softmax", lambda: self.value.log_softmax(dim=1))


@dataclass
class Inputs:
    """Checked inputs of a loss; read-only, because losses of the same logits, target and weight share them.

    Ignored pixels are hidden: where the weight of a pixel is 0, its logits and its target are 0.

    Args:
        logits: shared view of the logits.
        target: `(N, C, *spatial)` of the logits' type; class numbers as one-hot.
        weight: weights with the target's number of axes, broadcastable to it; None for equal weights. Pixels of the
            ignored class have weight 0.
        index: class numbers `(N, *spatial)` int64 of a multi-class target, 0 where ignored; else None.
        hard: whether the target is known to be 0 or 1, because it was given as integers.
    """

    logits: Logits
    target: Tensor
    weight: Tensor | None
    index: Tensor | None
    hard: bool
    _cross_entropy: Tensor | None = field(default=None, repr=False)

    @property
    def cross_entropy(self) -> Tensor:
        """Binary cross-entropy of each pixel and channel; shared by all losses of these logits and this target."""
        if self._cross_entropy is None:
            self._cross_entropy = analytic.cross_entropy(self.logits.value, self.target, self.logits.sigmoid)
        return self._cross_entropy

    @property
    def probabilities(self) -> Tensor:
        """Softmax for multi-class targets, else sigmoid."""
        return self.logits.sigmoid if self.index is None else self.logits.softmax

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean of values of the target's shape; 0 if all pixels are ignored."""
        if self.weight is None:
            return values.mean()
        weight = self.weight.expand_as(values)
        return (values * weight).sum() / weight.sum().clamp_min(1e-12)

    def of_images(self) -> Tensor | None:
        """Weight of each image, `(N,)`: the largest of its pixels; None for equal weights."""
        return None if self.weight is None else self.weight.flatten(1).amax(1).expand(len(self.target))

    def mean_of_images(self, values: Tensor) -> Tensor:
        """Mean of values `(N, …)`, weighted over images, plain over other axes; 0 if all images are ignored."""
        weight = self.of_images()
        if weight is None:
            return values.mean()
        return (values.flatten(1).mean(1) * weight).sum() / weight.sum().clamp_min(1e-12)

    def unless_void(self, loss: Tensor) -> Tensor:
        """The loss, or 0 if all pixels are ignored, where its formula may give another value."""
        return loss if self.weight is None else torch.where(self.weight.amax() > 0, loss, torch.zeros_like(loss))


def check(logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None, ignore: int = VOID) -> Inputs:
    """Check and prepare the inputs of a loss.

    Args:
        logits: `(N, C, *spatial)` or `(N, C)`.
        target: values in [0, 1] of any type and the logits' shape, or integer class numbers `(N, *spatial)` if there is
            more than one channel.
        weight: `(N,)` per image, or broadcastable to the target; 0 = ignored.
        ignore: class number of ignored pixels. For labels of images, 255 is an ordinary class if there are more than
            255 classes.

    Raises:
        ValueError: the shapes do not match.
    """
    view = logits if isinstance(logits, Logits) else Logits(logits)
    for known, own, number, inputs in view.checked:
        if known is target and own is weight and number == ignore:
            return inputs
    inputs = _check(view, target, weight, ignore)
    view.checked.append((target, weight, ignore, inputs))
    return inputs


def _check(view: Logits, target: Tensor, weight: Tensor | None, ignore: int) -> Inputs:
    shape = view.value.shape
    whole = not target.is_floating_point()
    shaped = None if weight is None else shaped_weight(weight, view.value).to(view.value.dtype)
    counted = _counted(shaped)
    if whole and len(shape) > 1 and shape[1] > 1 and target.shape == (shape[0], *shape[2:]):
        return _multiclass(view, target.long(), shaped, counted, ignore)
    if target.shape != shape:
        index = f" or class numbers {(shape[0], *shape[2:])}" if len(shape) > 1 and shape[1] > 1 else ""
        raise ValueError(
            f"expected a target of the logits' shape{index}. Got: logits {tuple(shape)}, target {tuple(target.shape)}"
        )
    target = target.to(view.value.dtype)
    if counted is not None:
        view, target = Logits(torch.where(counted, view.value, 0)), torch.where(counted, target, 0)
    return Inputs(view, target, shaped, None, whole)


def _multiclass(view: Logits, target: Tensor, weight: Tensor | None, counted: Tensor | None, ignore: int) -> Inputs:
    classes = view.value.shape[1]
    kept = None if counted is None else counted.squeeze(1)
    if view.value.dim() > 2 or ignore != VOID or classes <= VOID:
        kept = (target != ignore) if kept is None else (target != ignore) & kept
    if kept is None:
        return Inputs(view, _one_hot(target, view.value), weight, target, True)
    index, keep = torch.where(kept, target, 0), kept.unsqueeze(1)
    masked, shaped = Logits(torch.where(keep, view.value, 0)), keep.to(view.value.dtype)
    one_hot = _one_hot(index, view.value) * shaped
    return Inputs(masked, one_hot, shaped if weight is None else shaped * weight, index, True)


def _one_hot(index: Tensor, value: Tensor) -> Tensor:
    """Class numbers `(N, *spatial)` as one-hot `(N, C, *spatial)` of the logits' type."""
    return F.one_hot(index, value.shape[1]).movedim(-1, 1).to(value.dtype)


def _counted(weight: Tensor | None) -> Tensor | None:
    """Valid pixels, bool `(N, 1, *spatial)`; None for weights of whole images, where multiplying by 0 is enough."""
    if weight is None or weight.dim() < 3 or all(side == 1 for side in weight.shape[2:]):
        return None
    counted = weight > 0
    return counted if counted.shape[1] == 1 else counted.any(1, keepdim=True)


def shaped_weight(weight: Tensor, value: Tensor) -> Tensor:
    """A weight `(N,)`, or broadcastable to the logits, reshaped to the logits' number of axes.

    Raises:
        ValueError: the weight has another shape.
    """
    if weight.dim() == 1 and value.dim() > 1:
        weight = weight.reshape(-1, *[1] * (value.dim() - 1))
    # Not `torch.broadcast_shapes`: it takes 0.1 ms in every step.
    pairs = zip(reversed(weight.shape), reversed(value.shape), strict=False)
    if weight.dim() > value.dim() or any(own not in (1, side) for own, side in pairs):
        raise ValueError(
            f"expected a weight (N,) or broadcastable to the logits. Got: weight {tuple(weight.shape)}, "
            f"logits {tuple(value.shape)}"
        )
    return weight.reshape(*[1] * (value.dim() - weight.dim()), *weight.shape)


def overlap(inputs: Inputs, per_image: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Soft intersection, sum of probabilities and sum of the target per class: `(C,)`, or `(N, C)` per image."""
    axes = tuple(range(2, inputs.target.dim())) if per_image else (0, *range(2, inputs.target.dim()))
    probabilities, target = inputs.probabilities, inputs.target
    if inputs.weight is not None:
        probabilities, target = probabilities * inputs.weight, target * inputs.weight
        return (probabilities * inputs.target).sum(axes), probabilities.sum(axes), target.sum(axes)
    return analytic.overlap(probabilities, target, axes)

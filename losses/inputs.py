"""What every loss does to its inputs first: shared activations, types, shapes, weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from losses import analytic

IGNORE = 255  # class number that does not count, as in torchvision, Pascal VOC and Cityscapes


class Logits:
    """Logits of one output with their activations, each computed once however many losses want it.

    Args:
        value: `(N, C, *spatial)` or `(N, C)`; half types are raised to float32, float64 is left.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        self._kept: dict[str, Tensor] = {}
        self._truth: tuple[Tensor, Tensor] | None = None

    def truth(self, target: Tensor) -> Tensor:
        """A target in the logits' type; converted once for all losses that share this view."""
        if self._truth is None or self._truth[0] is not target:
            self._truth = target, target.to(self.value.dtype)
            self._kept.pop("cross_entropy", None)
        return self._truth[1]

    def cross_entropy(self, truth: Tensor) -> Tensor:
        """Binary cross-entropy of each pixel and channel with a truth that `truth()` gave."""
        if self._truth is None or self._truth[1] is not truth:
            return F.binary_cross_entropy_with_logits(self.value, truth, reduction="none")
        return self._once("cross_entropy", lambda: analytic.cross_entropy(self.value, truth, self.sigmoid))

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
    """Inputs of a loss, checked.

    Args:
        logits: shared view of the logits.
        target: `(N, C, *spatial)` in the logits' type; class numbers as one-hot.
        weight: broadcastable to the target, None when all count the same. Pixels of the ignored class weigh 0.
        index: class numbers `(N, *spatial)` int64 of a multi-class target, with ignored ones as 0; else None.
        hard: whether the truth is 0 or 1 for sure, because it came as integers.
    """

    logits: Logits
    target: Tensor
    weight: Tensor | None
    index: Tensor | None
    hard: bool

    @property
    def cross_entropy(self) -> Tensor:
        """Binary cross-entropy of each pixel and channel; shared by all losses between these logits and this truth."""
        return self.logits.cross_entropy(self.target)

    @property
    def probabilities(self) -> Tensor:
        """Softmax for multi-class targets, else sigmoid."""
        return self.logits.sigmoid if self.index is None else self.logits.softmax

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean of values shaped like the target; 0 when nothing counts."""
        if self.weight is None:
            return values.mean()
        weight = self.weight.expand_as(values)
        return (values * weight).sum() / weight.sum().clamp_min(1e-12)


def check(logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None, ignore: int = IGNORE) -> Inputs:
    """Check and prepare the inputs of a loss.

    Args:
        logits: `(N, C, *spatial)` or `(N, C)`.
        target: the logits' shape with values in 0..1 of any type, or integer class numbers `(N, *spatial)` when there
            is more than one channel.
        weight: `(N,)` per image, or broadcastable to the target; 0 = ignored.
        ignore: class number of pixels that do not count.

    Raises:
        ValueError: shapes that do not match, with both.
    """
    view = logits if isinstance(logits, Logits) else Logits(logits)
    shape = view.value.shape
    whole = not target.is_floating_point()
    if whole and len(shape) > 1 and shape[1] > 1 and target.shape == (shape[0], *shape[2:]):
        return _multiclass(view, target.long(), weight, ignore)
    if target.shape != shape:
        index = f" or class numbers {(shape[0], *shape[2:])}" if len(shape) > 1 and shape[1] > 1 else ""
        raise ValueError(
            f"the target must have the logits' shape{index}. Got: logits {tuple(shape)}, target {tuple(target.shape)}"
        )
    return Inputs(view, view.truth(target), _weight(weight, view.value), None, whole)


def _multiclass(view: Logits, target: Tensor, weight: Tensor | None, ignore: int) -> Inputs:
    classes = view.value.shape[1]
    counted = target != ignore
    index = torch.where(counted, target, 0)
    one_hot = F.one_hot(index, classes).movedim(-1, 1).to(view.value.dtype)
    shaped = _weight(weight, view.value)
    keep = counted.unsqueeze(1).to(view.value.dtype)
    return Inputs(view, one_hot, keep if shaped is None else keep * shaped, index, True)


def _weight(weight: Tensor | None, value: Tensor) -> Tensor | None:
    if weight is None:
        return None
    if weight.dim() == 1 and value.dim() > 1:
        weight = weight.reshape(-1, *[1] * (value.dim() - 1))
    # by hand: `torch.broadcast_shapes` takes a tenth of a millisecond, every step
    pairs = zip(reversed(weight.shape), reversed(value.shape), strict=False)
    if weight.dim() > value.dim() or any(own not in (1, side) for own, side in pairs):
        raise ValueError(
            f"the weight must be (N,) or broadcastable to the logits. Got: weight {tuple(weight.shape)}, "
            f"logits {tuple(value.shape)}"
        )
    return weight.to(value.dtype)


def overlap(inputs: Inputs, per_image: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Soft intersection, sum of probabilities and sum of truth per class: `(C,)`, or `(N, C)` per image."""
    axes = tuple(range(2, inputs.target.dim())) if per_image else (0, *range(2, inputs.target.dim()))
    probabilities, target = inputs.probabilities, inputs.target
    if inputs.weight is not None:
        probabilities, target = probabilities * inputs.weight, target * inputs.weight
        return (probabilities * inputs.target).sum(axes), probabilities.sum(axes), target.sum(axes)
    return analytic.overlap(probabilities, target, axes)

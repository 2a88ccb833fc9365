"""Mean and std of images: those that are set, else those that the pretrained weights expect, else ImageNet's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from networks.encoder_weights import LoadedWeights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Values = list[float] | float


def loaded_weights(network: nn.Module) -> list["LoadedWeights"]:
    """What was loaded into the encoders of a network when it was built."""
    found = (getattr(module, "loaded_weights", None) for module in network.modules())
    return [one for one in found if one is not None]


def find_statistics(network: nn.Module, mean: Values | None, std: Values | None) -> tuple[Values, Values]:
    """Mean and std of images in [0, 1]; None means those of the network's pretrained weights, or else ImageNet's."""
    expected = expected_statistics(network) or (list(IMAGENET_MEAN), list(IMAGENET_STD))
    return expected[0] if mean is None else mean, expected[1] if std is None else std


def expected_statistics(network: nn.Module) -> tuple[list[float], list[float]] | None:
    """Mean and std that the pretrained weights of a network expect; None if none were loaded."""
    loaded = loaded_weights(network)
    if not loaded:
        return None
    if loaded[0].statistics is not None:
        return loaded[0].statistics
    transform: Any = getattr(network, "transform", None)  # of a detector of torchvision
    return list(transform.image_mean), list(transform.image_std)


def describe(network: nn.Module, mean: Tensor, std: Tensor, input_range: float) -> list[str]:
    """Lines for the start of a training: the weights that were loaded, and the normalisation.

    Args:
        network: network with its weights.
        mean: mean `(C, 1, 1)` of images in [0, 1].
        std: standard deviation `(C, 1, 1)`.
        input_range: pixel value that means 1.0.
    """
    lines = [f"weights  {one.text()}" for one in loaded_weights(network)]
    expected = expected_statistics(network) if lines else None
    if expected is None or len(mean) not in (1, len(expected[0])):
        return lines
    used = [value.flatten().tolist() * (len(expected[0]) // len(value)) for value in (mean, std)]
    # A range of 1 with values of 8 bits is the same normalisation.
    if any(all(map(close, used, (scaled(values, scale) for values in expected))) for scale in (1, 255 / input_range)):
        return [*lines, f"images   mean {shown(used[0])}, std {shown(used[1])}, as the weights expect"]
    text = f"hint     the weights expect model.mean {shown(expected[0])} and std {shown(expected[1])}; the set ones, "
    return [*lines, f"{text}{shown(used[0])} and {shown(used[1])}, are used"]


def scaled(values: Sequence[float], factor: float) -> list[float]:
    return [value * factor for value in values]


def close(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two normalisations are the same but for rounding to two digits."""
    return all(abs(a - b) <= 0.006 * max(abs(b), 1) for a, b in zip(one, other, strict=True))


def shown(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.4g}' for value in values)}]"

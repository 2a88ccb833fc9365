"""Private parts and messages of torchvision 0.29. torchvision has no upper bound: each part is checked where it is
used, and an error names the supported version."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torchvision
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models import WeightsEnum


def apply_policy(transform: Any, picture: tv_tensors.Image, numbers: tv_tensors.Mask) -> tuple[Any, Any]:
    """Apply AutoAugment and similar policies to an image; geometric operations also apply to the mask `numbers`.

    Policies reject masks and do not expose the sampled operations, so calls of the private method that applies each
    operation are recorded.

    Args:
        transform: `AutoAugment`, `RandAugment` or `TrivialAugmentWide` of `torchvision.transforms.v2`.
        picture: image `(C, H, W)`.
        numbers: mask `(1, H, W)`.
    """
    name = "_apply_image_or_video_transform"
    apply = getattr(transform, name, None)
    if apply is None:
        raise RuntimeError(
            f"torchvision {torchvision.__version__}: {type(transform).__name__} has no {name}, needed to transform "
            "masks; install torchvision 0.29 or adapt compat/torchvision.py"
        )
    moves: list[tuple[str, float]] = []

    def noted(image: Any, transform_id: str, magnitude: float, **settings: Any) -> Any:
        if transform_id.startswith(("Shear", "Translate", "Rotate")):
            moves.append((transform_id, magnitude))
        return apply(image, transform_id, magnitude, **settings)

    setattr(transform, name, noted)
    try:
        picture = transform(picture)
    finally:
        delattr(transform, name)
    for operation, magnitude in moves:
        numbers = apply(numbers, operation, magnitude, interpolation="nearest", fill={tv_tensors.Mask: 0})
    return picture, numbers


def refuses_masks(error: TypeError) -> bool:
    """Whether an error says that a transform does not support masks."""
    return "Mask" in str(error)


@contextmanager
def weights_read_by(read: Callable[[WeightsEnum], dict[str, Tensor]]) -> Iterator[None]:
    """Context in which networks of torchvision get their pretrained weights from a function instead of a download.

    The method that all of its builders call for this is public, but no argument replaces it.
    """
    own = WeightsEnum.get_state_dict
    WeightsEnum.get_state_dict = lambda weights, *_, **__: read(weights)
    try:
        yield
    finally:
        WeightsEnum.get_state_dict = own

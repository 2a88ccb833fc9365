"""Private parts of torchvision and what it says, as they are in 0.29. torchvision has no upper bound: each part is
checked where it is used, and an error says what it was written for."""

from typing import Any

import torchvision
from torchvision import tv_tensors


def apply_policy(transform: Any, picture: tv_tensors.Image, numbers: tv_tensors.Mask) -> tuple[Any, Any]:
    """AutoAugment and its like on a picture; what moves the picture moves `numbers`, a mask, too.

    A policy refuses masks, and tells nobody what it has drawn: its one private method, by which it applies each
    operation, is listened to.

    Args:
        transform: `AutoAugment`, `RandAugment` or `TrivialAugmentWide` of `torchvision.transforms.v2`.
        picture: `(C, H, W)`.
        numbers: `(1, H, W)`.
    """
    name = "_apply_image_or_video_transform"
    apply = getattr(transform, name, None)
    if apply is None:
        raise RuntimeError(
            f"torchvision {torchvision.__version__}: {type(transform).__name__} has no {name}, by which masks follow "
            "it; this was written for torchvision 0.29, take that or mend compat/torchvision.py"
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
    """Whether a transform says that it cannot take a mask."""
    return "Mask" in str(error)

"""torchvision's transforms (v2) on a sample in a worker: the picture as `tv_tensors.Image`, masks and boxes with it."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from augmentations.base import floats_of, masks_of
from augmentations.pixel_map import follow, pixel_numbers, refuse_floats
from augmentations.truth_planes import as_floats, flags, is_unmixed
from compat.torchvision import apply_policy, refuses_masks

POLICIES = (v2.AutoAugment, v2.RandAugment, v2.TrivialAugmentWide)
LARGEST = 2**24  # pixels that float32, in which torchvision moves masks, can number
MOVES = ("horizontal_flip", "vertical_flip", "resize", "affine", "rotate", "pad", "crop", "perspective", "elastic")
MOVES += ("center_crop", "resized_crop")


class Numbers(tv_tensors.TVTensor):
    """Maps of floats `(K, H, W)`: geometry moves them as it moves the picture, nothing else touches them."""


def _move_numbers(kernel: Any) -> Any:
    def moved(maps: Numbers, *args: Any, **settings: Any) -> Any:
        if "fill" in settings:  # that of the picture, a number for each of its channels
            settings["fill"] = 0
        return tv_tensors.wrap(kernel(maps.as_subclass(torch.Tensor), *args, **settings), like=maps)

    return moved


for _name in MOVES:
    functional.register_kernel(getattr(functional, _name), Numbers)(
        _move_numbers(getattr(functional, f"{_name}_image"))
    )


def apply_v2(
    transform: nn.Module, image: np.ndarray, arrays: dict[str, np.ndarray], seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A transform of `torchvision.transforms.v2`, on a picture and what belongs to it.

    Maps of floats keep their type and are interpolated as the picture is; a pixel of theirs that is made of void or of
    what lies outside does not count (`valid`). AutoAugment, RandAugment and TrivialAugmentWide refuse masks in
    torchvision; here masks and boxes follow their geometric operations, and stay under those of colour.

    Args:
        transform: any of v2 that takes one picture and keeps the type of its pixels.
        image: `(H, W, C)`.
        arrays: masks, boxes, labels; see `pixel_map.follow`.
        seed: of everything it draws.

    Raises:
        ValueError: what is no transform of v2, or works on batches; a policy on other than 1 or 3 channels, or where
            there are maps of floats, or AugMix where there are masks; a transform that changes the type of pixels.
    """
    name = type(transform).__name__
    if not isinstance(transform, v2.Transform):
        raise ValueError(f"data.augmentation: {name} is no transform of torchvision.transforms.v2")
    if isinstance(transform, v2.CutMix | v2.MixUp):
        raise ValueError(f"{name} works on batches; take augmentations.{name.capitalize()} under model.augmentation")
    policy = isinstance(transform, POLICIES)
    if policy and (image.shape[2] not in (1, 3) or image.dtype == np.uint16):
        raise ValueError(
            f"{name} knows pictures of 1 or 3 channels and 8 bits, got {image.shape[2]} of {image.dtype}; take "
            "augmentations.Geometry and augmentations.Colour"
        )
    size, spatial = image.shape[:2], any(array.ndim >= 2 for array in arrays.values())
    floats = floats_of(arrays, masks_of(arrays, size))
    if policy:
        refuse_floats(name, arrays, floats)
    if spatial and isinstance(transform, v2.AugMix):
        raise ValueError(
            f"{name} blends pictures that are moved apart, which no mask can follow; take "
            "torchvision.transforms.v2.RandAugment or augmentations.TimmPolicy"
        )
    if spatial and size[0] * size[1] > LARGEST:
        raise ValueError(f"{name}: a picture of {size} is too large to move its masks; crop it before")
    picture: Any = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))))
    numbers: Any = tv_tensors.Mask(torch.from_numpy(pixel_numbers(size).astype(np.float32))) if spatial else None
    # Of the CPU alone: torch.manual_seed would queue a call for a GPU that a worker never opens.
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        if not spatial:
            picture = transform(picture)
        elif policy:
            picture, numbers = apply_policy(transform, picture, numbers)
        elif floats:
            picture, numbers, maps = transform(picture, numbers, _maps(arrays, floats, size))
        else:
            picture, numbers = transform(picture, numbers)
    except TypeError as error:
        if not refuses_masks(error):
            raise
        raise ValueError(
            f"{name}: {error}; name the policy in data.augmentation itself, not inside another transform, and masks "
            "will follow it"
        ) from error
    finally:
        torch.default_generator.set_state(state)
    result = np.moveaxis(picture.numpy(), 0, -1)
    if result.dtype != image.dtype:
        raise ValueError(
            f"data.augmentation: {name} makes {result.dtype} of {image.dtype}; leave it out, model.mean and model.std "
            "normalise on the device"
        )
    if numbers is None:
        return result, arrays
    moved = follow(arrays, np.rint(numbers.numpy()).astype(np.int32), size)
    return result, (moved | _interpolated(arrays, floats, maps.numpy(), moved)) if floats else moved


def _maps(arrays: dict[str, np.ndarray], floats: list[str], size: tuple[int, int]) -> Numbers:
    """All maps of floats as one, and what is valid as the last two of its planes."""
    planes = [as_floats(arrays[name], name).reshape(-1, *size) for name in floats]
    valid = arrays["valid"] if "valid" in arrays else np.ones(size, bool)
    return torch.from_numpy(np.concatenate([*planes, flags(valid)])).as_subclass(Numbers)


def _interpolated(
    arrays: dict[str, np.ndarray], floats: list[str], maps: np.ndarray, moved: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The maps of floats after the move by name, and `valid` where some pixels of them do not count."""
    found, start = {}, 0
    for name in floats:
        before = arrays[name]
        count = len(before) if before.ndim == 3 else 1
        part = maps[start : start + count].astype(before.dtype)
        found[name], start = part if before.ndim == 3 else part[0], start + count
    valid = moved["valid"] & is_unmixed(maps[-2:]) if "valid" in moved else is_unmixed(maps[-2:])
    return found if valid.all() and "valid" not in moved else found | {"valid": valid}

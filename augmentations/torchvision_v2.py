"""torchvision's transforms (v2) on a sample in a worker: image, masks and boxes are transformed together."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from augmentations.base import floats_of, masks_of
from augmentations.pixel_map import follow, pixel_numbers, refuse_floats
from augmentations.target_planes import as_floats, flags, is_unmixed
from compat.torchvision import apply_policy, refuses_masks

POLICIES = (v2.AutoAugment, v2.RandAugment, v2.TrivialAugmentWide)
LARGEST = 2**24  # most pixels that float32, torchvision's type for masks, can number
MOVES = ("horizontal_flip", "vertical_flip", "resize", "affine", "rotate", "pad", "crop", "perspective", "elastic")
MOVES += ("center_crop", "resized_crop")


class Numbers(tv_tensors.TVTensor):
    """Float maps `(K, H, W)`: geometric transforms treat them like the image, others ignore them."""


def _move_numbers(kernel: Any) -> Any:
    def moved(maps: Numbers, *args: Any, **settings: Any) -> Any:
        if "fill" in settings:  # given for the channels of the image
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
    """Apply a transform of `torchvision.transforms.v2` to an image and its arrays.

    Float maps keep their type and are interpolated like the image; their pixels that depend on void or on the outside
    of the image become invalid (`valid`). AutoAugment, RandAugment and TrivialAugmentWide reject masks in torchvision;
    here masks and boxes follow their geometric operations and ignore their colour operations.

    Args:
        transform: transform of v2 for single images that keeps the type of pixels.
        image: `(H, W, C)`.
        arrays: masks, boxes, labels; see `pixel_map.follow`.
        seed: random seed.

    Raises:
        ValueError: the transform is not of v2, works on batches or changes the type of pixels; a policy gets an image
            without 1 or 3 channels, or a float map; AugMix gets masks.
    """
    name = type(transform).__name__
    if not isinstance(transform, v2.Transform):
        raise ValueError(f"data.augmentation: {name} is not a transform of torchvision.transforms.v2")
    if isinstance(transform, v2.CutMix | v2.MixUp):
        raise ValueError(f"{name} works on batches; use augmentations.{name.capitalize()} under model.augmentation")
    policy = isinstance(transform, POLICIES)
    if policy and (image.shape[2] not in (1, 3) or image.dtype == np.uint16):
        raise ValueError(
            f"{name}: expected 8-bit images of 1 or 3 channels, got {image.shape[2]} of {image.dtype}; use "
            "augmentations.Geometry and augmentations.Colour"
        )
    size, spatial = image.shape[:2], any(array.ndim >= 2 for array in arrays.values())
    floats = floats_of(arrays, masks_of(arrays, size))
    if policy:
        refuse_floats(name, arrays, floats)
    if spatial and isinstance(transform, v2.AugMix):
        raise ValueError(
            f"{name} blends differently transformed images, which masks cannot follow; use "
            "torchvision.transforms.v2.RandAugment or augmentations.TimmPolicy"
        )
    if spatial and size[0] * size[1] > LARGEST:
        raise ValueError(
            f"{name}: the image has {size[0]} x {size[1]} pixels, expected at most {LARGEST} in all if there are "
            "masks; crop it before"
        )
    tensor: Any = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))))
    numbers: Any = tv_tensors.Mask(torch.from_numpy(pixel_numbers(size).astype(np.float32))) if spatial else None
    # CPU only: torch.manual_seed would queue a call for a GPU, which workers never open.
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        if not spatial:
            tensor = transform(tensor)
        elif policy:
            tensor, numbers = apply_policy(transform, tensor, numbers)
        elif floats:
            tensor, numbers, maps = transform(tensor, numbers, _maps(arrays, floats, size))
        else:
            tensor, numbers = transform(tensor, numbers)
    except TypeError as error:
        if not refuses_masks(error):
            raise
        raise ValueError(
            f"{name}: {error}; to transform masks too, put the policy directly into data.augmentation, not inside "
            "another transform"
        ) from error
    finally:
        torch.default_generator.set_state(state)
    result = np.moveaxis(tensor.numpy(), 0, -1)
    if result.dtype != image.dtype:
        raise ValueError(
            f"data.augmentation: {name} changes pixels from {image.dtype} to {result.dtype}; remove it, images are "
            "normalised on the device by model.mean and model.std"
        )
    if numbers is None:
        return result, arrays
    moved = follow(arrays, np.rint(numbers.numpy()).astype(np.int32), size)
    return result, (moved | _interpolated(arrays, floats, maps.numpy(), moved)) if floats else moved


def _maps(arrays: dict[str, np.ndarray], floats: list[str], size: tuple[int, int]) -> Numbers:
    """All float maps as one array; the last two planes are flags of valid pixels."""
    planes = [as_floats(arrays[name], name).reshape(-1, *size) for name in floats]
    valid = arrays["valid"] if "valid" in arrays else np.ones(size, bool)
    return torch.from_numpy(np.concatenate([*planes, flags(valid)])).as_subclass(Numbers)


def _interpolated(
    arrays: dict[str, np.ndarray], floats: list[str], maps: np.ndarray, moved: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The float maps after the transform by name, and `valid` if some of their pixels are invalid."""
    found, start = {}, 0
    for name in floats:
        before = arrays[name]
        count = len(before) if before.ndim == 3 else 1
        part = maps[start : start + count].astype(before.dtype)
        found[name], start = part if before.ndim == 3 else part[0], start + count
    valid = moved["valid"] & is_unmixed(maps[-2:]) if "valid" in moved else is_unmixed(maps[-2:])
    return found if valid.all() and "valid" not in moved else found | {"valid": valid}

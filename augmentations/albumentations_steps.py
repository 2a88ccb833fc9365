"""albumentations on a sample: image, masks, float maps and boxes are transformed together."""

import copy
from typing import Any

import cv2
import numpy as np

from augmentations.base import floats_of, masks_of
from augmentations.target_planes import Planes, as_floats, flags, is_unmixed, packed, unpacked
from compat.albumentations import is_about_channels
from masks.void import VOID, is_class_map

Arrays = dict[str, np.ndarray]


class Albumentations:
    """Transforms of albumentations in order, as one Compose: checks and seeding happen once.

    Args:
        transforms: transforms of albumentations.
    """

    def __init__(self, transforms: list) -> None:
        self.transforms = transforms
        self._composed: dict[tuple[bool, int], Any] = {}

    def __call__(self, image: np.ndarray, arrays: Arrays, seed: int) -> tuple[np.ndarray, Arrays]:
        """Transform an image `(H, W, C)` and its arrays.

        Integers, of any type, are sampled by nearest neighbour, so that no new value appears. Float maps keep their
        type and are interpolated linearly, as the image is; their pixels that depend on void or on the outside of the
        image become invalid (`valid`). Float targets next to masks double the time.

        Pixels whose masks are filled, outside the image or by `fill_mask` of a dropout, become invalid. A transform
        that looks for objects (CropNonEmptyMaskIfExists) finds none in void: class numbers are 0 there, until
        `masks.void.blanked` sets them to 255 again.

        `boxes` `(n, 4)` xyxy are clipped to the crop, and dropped with their `labels` if less than a tenth remains.

        Raises:
            TypeError: a transform supports only images of 1 or 3 channels.
            ValueError: a target has a type that cannot be transformed.
        """
        names, arrays = masks_of(arrays, image.shape[:2]), dict(arrays)
        floats = {name: as_floats(arrays[name], name) for name in floats_of(arrays, names)}
        masks = {name: arrays[name] for name in names if name not in floats and name != "valid"}
        valid = arrays.get("valid")
        held = {name: _planes(array, valid) for name, array in masks.items()}
        given: dict[str, Any] = {"masks": [plane for planes, _ in held.values() for plane in planes]}
        given = given if held else {}
        if names:  # not among the masks, where some transforms look for objects
            given["valid"] = np.ones(image.shape[:2], np.uint8) if valid is None else valid.astype(np.uint8)
        boxed = "boxes" in arrays
        if boxed:
            given |= {"bboxes": arrays["boxes"], "box_numbers": np.arange(len(arrays["boxes"]))}
        result = self._run(seed, boxed, image, given)
        if boxed:
            kept = np.asarray(result["box_numbers"], np.int64)
            arrays["boxes"] = np.asarray(result["bboxes"], np.float32).reshape(-1, 4)
            arrays |= {name: arrays[name][kept] for name in ("labels",) if name in arrays}
        moved = iter(result.get("masks", []))
        for name, (planes, kind) in held.items():
            arrays[name] = unpacked([next(moved) for _ in planes], kind, masks[name])
        if names:
            arrays["valid"] = result["valid"] == 1  # filled with 0, or with the value of the masks
        if floats:
            arrays |= self._interpolated(seed, boxed, image, given, floats, arrays)
        return result["image"], arrays

    def _interpolated(
        self, seed: int, boxed: bool, image: np.ndarray, given: dict[str, Any], floats: Arrays, arrays: Arrays
    ) -> Arrays:
        """Float maps, transformed by a second run with the same seed and inputs, and the `valid` array after it."""
        maps = [*_flat(floats), *flags(given["valid"])]
        planes = {f"float{number}": plane for number, plane in enumerate(maps)}
        result = self._run(seed, boxed, image, given | planes, len(planes))
        moved = iter([result[name] for name in planes])
        found: Arrays = {}
        for name, before in floats.items():
            after = np.stack([next(moved) for _ in before]) if before.ndim == 3 else next(moved)
            found[name] = after.astype(arrays[name].dtype, copy=False)
        return found | {"valid": arrays["valid"] & is_unmixed(np.stack(list(moved)))}

    def _run(self, seed: int, boxed: bool, image: np.ndarray, given: dict[str, Any], floats: int = 0) -> dict[str, Any]:
        compose = self._compose(boxed, floats)
        compose.set_random_seed(seed)
        try:
            return compose(image=image, **given)
        except TypeError as error:
            if not is_about_channels(error):
                raise
            raise TypeError(
                f"{error} The image has {image.shape[2]}: use a transform that supports them (augmentations.Colour "
                "with `channel`), or for CLAHE preprocessing.Clahe under data.preprocessing, which equalises each "
                "channel"
            ) from error

    def _compose(self, boxed: bool, floats: int) -> Any:
        """A Compose for samples with or without boxes, and for `floats` planes to interpolate linearly."""
        if (boxed, floats) not in self._composed:
            import albumentations  # takes 0.5 s, which would slow down --help

            boxes = None
            if boxed:
                fields = ["box_numbers"]
                boxes = albumentations.BboxParams("pascal_voc", label_fields=fields, clip=True, min_visibility=0.1)
            more = {f"float{number}": "mask" for number in range(floats)}
            # Masks by nearest neighbour unless a transform sets another interpolation. Compose changes the transforms.
            self._composed[boxed, floats] = albumentations.Compose(
                copy.deepcopy(self.transforms) if floats else self.transforms,
                bbox_params=boxes,
                additional_targets={"valid": "mask", **more},
                mask_interpolation=cv2.INTER_LINEAR if floats else None,
            )
        return self._composed[boxed, floats]


def _planes(array: np.ndarray, valid: np.ndarray | None) -> Planes:
    return packed(np.where(array == VOID, 0, array) if valid is not None and is_class_map(array) else array)


def _flat(floats: Arrays) -> list[np.ndarray]:
    """All planes `(H, W)` of maps `(H, W)` and `(K, H, W)`."""
    return [plane for array in floats.values() for plane in (array if array.ndim == 3 else array[None])]

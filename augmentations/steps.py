"""Augmentations of every library, in order, on one sample in a loader's worker."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from augmentations.base import Augmentation, masks_of
from preprocessing.void import VOID, is_class_map

if TYPE_CHECKING:
    import albumentations

Arrays = dict[str, np.ndarray]


class Steps:
    """albumentations' transforms, torchvision's (v2) and our own, in order.

    Args:
        steps: the augmentations. Neighbours of albumentations work together: it checks and seeds once per Compose.
    """

    def __init__(self, steps: list) -> None:
        self.runs: list = []
        for step in steps:
            if isinstance(step, Augmentation | nn.Module):
                self.runs.append(step)
            elif self.runs and isinstance(self.runs[-1], list):
                self.runs[-1].append(step)
            else:
                self.runs.append([step])
        self._composed: dict[tuple[int, bool], Any] = {}

    def __call__(
        self, image: np.ndarray, arrays: Arrays, full: float, seed: int, random: np.random.Generator
    ) -> tuple[np.ndarray, Arrays]:
        """An image `(H, W, C)` and its arrays, augmented.

        Args:
            image: of any type.
            arrays: masks, boxes, labels by name.
            full: pixel value that means 1.0.
            seed: of what other libraries draw.
            random: where our own parameters are drawn from.
        """
        for number, run in enumerate(self.runs):
            if isinstance(run, Augmentation):
                image, arrays = run.sample(image, arrays, full, random)
            elif isinstance(run, nn.Module):
                from augmentations.torchvision_v2 import apply_v2  # a second that most need not wait for

                image, arrays = apply_v2(run, image, arrays, seed + number)
            else:
                compose = self._compose(number, "boxes" in arrays)
                compose.set_random_seed(seed + number)
                image, arrays = augment(compose, image, arrays)
        return image, arrays

    def _compose(self, number: int, boxed: bool) -> "albumentations.Compose":
        if (number, boxed) not in self._composed:
            import albumentations  # half a second, which --help need not wait for

            boxes = None
            if boxed:
                fields = ["box_numbers"]
                boxes = albumentations.BboxParams("pascal_voc", label_fields=fields, clip=True, min_visibility=0.1)
            self._composed[number, boxed] = albumentations.Compose(
                self.runs[number], bbox_params=boxes, additional_targets={"valid": "mask"}
            )
        return self._composed[number, boxed]


def augment(augmentation: "albumentations.Compose", image: np.ndarray, arrays: Arrays) -> tuple[np.ndarray, Arrays]:
    """Move image and spatial targets together; masks by the nearest pixel, so that no value is invented.

    Pixels whose masks a transform fills, from outside the picture or where it drops something with `fill_mask`, do not
    count: `valid` is False there. A transform that looks for objects (CropNonEmptyMaskIfExists) finds none in void:
    class numbers are 0 there, until `preprocessing.void.blanked` makes them 255 again.

    `boxes` `(n, 4)` xyxy are clipped to the crop and dropped, with their `labels`, when less than a tenth remains.

    Raises:
        TypeError: a transform that knows only pictures of 1 or 3 channels.
    """
    spatial = {name: arrays[name] for name in masks_of(arrays, image.shape[:2])}
    valid = spatial.pop("valid", None)
    # Plane by plane, because albumentations wants equal shapes. cv2 has no 64-bit remapping; class numbers fit into 16.
    planes: list[np.ndarray] = []
    for array in spatial.values():
        array = np.where(array == VOID, 0, array) if valid is not None and is_class_map(array) else array
        small = array.astype(np.uint8 if array.dtype in (bool, np.uint8) else np.uint16, copy=False)
        planes += list(small) if array.ndim == 3 else [small]
    given: dict[str, Any] = {"masks": planes} if planes else {}
    if planes or valid is not None:  # beside the masks, for some transforms look for objects in those
        given["valid"] = np.ones(image.shape[:2], np.uint8) if valid is None else valid.astype(np.uint8)
    if "boxes" in arrays:
        given |= {"bboxes": arrays["boxes"], "box_numbers": np.arange(len(arrays["boxes"]))}
    try:
        result = augmentation(image=image, **given)
    except TypeError as error:
        if "channel" not in str(error):
            raise
        raise TypeError(
            f"{error} The image has {image.shape[2]}: take a transform that knows them (augmentations.Colour with "
            "`channel`), or for CLAHE preprocessing.Clahe under data.preprocessing, which equalises each channel"
        ) from error
    if "boxes" in arrays:
        kept = np.asarray(result["box_numbers"], np.int64)
        arrays["boxes"] = np.asarray(result["bboxes"], np.float32).reshape(-1, 4)
        arrays |= {name: arrays[name][kept] for name in ("labels",) if name in arrays}
    moved = iter(result.get("masks", []))
    for name, before in spatial.items():
        after = np.stack([next(moved) for _ in before]) if before.ndim == 3 else next(moved)
        arrays[name] = after.astype(before.dtype, copy=False)
    if "valid" in given:
        arrays["valid"] = result["valid"] == 1  # filled with 0, or with the value of the masks
    return result["image"], arrays

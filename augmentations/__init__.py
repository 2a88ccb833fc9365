"""Augmentation of batches on the device (`model.augmentation`) or of images in the workers (`data.augmentation`)."""

from augmentations.base import Augmentation
from augmentations.colour import Colour
from augmentations.geometry import Geometry
from augmentations.mix import CopyPaste, Cutmix, Mixup
from augmentations.volumes import CubeIsometries

__all__ = ["Augmentation", "Colour", "CopyPaste", "CubeIsometries", "Cutmix", "Geometry", "Mixup"]

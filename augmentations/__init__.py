"""Augmentation of batches on the device (`model.augmentation`) or of images in the workers (`data.augmentation`)."""

from augmentations.base import Augmentation
from augmentations.by_class import ByClass
from augmentations.colour import Colour
from augmentations.geometry import Geometry
from augmentations.mix import CopyPaste, Cutmix, Mixup
from augmentations.resize import Resize
from augmentations.stages import Stages
from augmentations.timm_policy import TimmPolicy
from augmentations.volumes import CubeIsometries

__all__ = [
    "Augmentation",
    "ByClass",
    "Colour",
    "CopyPaste",
    "CubeIsometries",
    "Cutmix",
    "Geometry",
    "Mixup",
    "Resize",
    "Stages",
    "TimmPolicy",
]

"""LightningModules, one task per file on a small common base."""

from lightning_modules.base import BaseModule
from lightning_modules.classification import ClassificationModule
from lightning_modules.detection import DetectionModule
from lightning_modules.pairs import PairModule
from lightning_modules.precision import AutoPrecision
from lightning_modules.schedules import Piecewise, WarmupCosine
from lightning_modules.segmentation import SegmentationModule

__all__ = [
    "AutoPrecision",
    "BaseModule",
    "ClassificationModule",
    "DetectionModule",
    "PairModule",
    "Piecewise",
    "SegmentationModule",
    "WarmupCosine",
]

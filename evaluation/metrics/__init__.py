"""Competition metrics: the same number for any batch size and number of ranks, and a score for every image."""

from evaluation.metrics.base import CompetitionMetric
from evaluation.metrics.dice import DiceGlobal, DicePerImage
from evaluation.metrics.instances import InstanceAveragePrecision
from evaluation.metrics.iou import IoUGlobal, IoUPerImage

__all__ = ["CompetitionMetric", "DiceGlobal", "DicePerImage", "InstanceAveragePrecision", "IoUGlobal", "IoUPerImage"]

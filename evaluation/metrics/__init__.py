"""Competition metrics: independent of batch size and number of ranks, with a score for every image."""

from evaluation.metrics.accuracy import Accuracy
from evaluation.metrics.base import CompetitionMetric
from evaluation.metrics.box_average_precision import BoxAveragePrecision
from evaluation.metrics.box_precision import BoxPrecision
from evaluation.metrics.dice import DiceGlobal, DicePerImage
from evaluation.metrics.dice_hausdorff import DiceHausdorff
from evaluation.metrics.fbeta import FBeta
from evaluation.metrics.instance_fbeta import InstanceFBeta
from evaluation.metrics.instances import InstanceAveragePrecision
from evaluation.metrics.iou import IoUGlobal, IoUPerImage
from evaluation.metrics.kappa import QuadraticWeightedKappa
from evaluation.metrics.log_loss import LogLoss
from evaluation.metrics.mask_average_precision import MaskAveragePrecision
from evaluation.metrics.mean_absolute_error import MeanAbsoluteError
from evaluation.metrics.precision import IoUPrecision
from evaluation.metrics.ranked import MeanAveragePrecisionAtK
from evaluation.metrics.retrieval import RetrievalMeanAveragePrecision, RetrievalRecall
from evaluation.metrics.roc import AreaUnderROC
from evaluation.metrics.spacenet import SpaceNetF1

__all__ = [
    "Accuracy",
    "AreaUnderROC",
    "BoxAveragePrecision",
    "BoxPrecision",
    "CompetitionMetric",
    "DiceGlobal",
    "DiceHausdorff",
    "DicePerImage",
    "FBeta",
    "InstanceAveragePrecision",
    "InstanceFBeta",
    "IoUGlobal",
    "IoUPerImage",
    "IoUPrecision",
    "LogLoss",
    "MaskAveragePrecision",
    "MeanAbsoluteError",
    "MeanAveragePrecisionAtK",
    "QuadraticWeightedKappa",
    "RetrievalMeanAveragePrecision",
    "RetrievalRecall",
    "SpaceNetF1",
]

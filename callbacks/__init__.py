"""Callbacks that extend those of Lightning."""

from callbacks.accumulated_gradients import AccumulatedGradients
from callbacks.augmentation_schedule import AugmentationSchedule
from callbacks.averaging import ExponentialMovingAverage
from callbacks.checkpoint_io import AsyncDurableCheckpointIO, DurableCheckpointIO
from callbacks.early_stopping import EarlyStopping
from callbacks.final_validation import FinalValidation
from callbacks.finite_loss import FiniteLoss
from callbacks.forecast import Forecast
from callbacks.gathered_metric import GatheredMetric
from callbacks.gradient_norm import GradientNorm
from callbacks.hard_pairs import HardPairs
from callbacks.image_size import ImageSize
from callbacks.mean_teacher import MeanTeacher
from callbacks.prediction_writer import PredictionWriter
from callbacks.run_checkpoint import RunCheckpoint
from callbacks.score import CompetitionScore
from callbacks.snapshots import Snapshots, TopCheckpoints
from callbacks.step_seeds import StepSeeds
from callbacks.stop_signals import StopSignals
from callbacks.time_budget import TimeBudget
from callbacks.time_limit import PredictionTimeLimit
from callbacks.unfreezing import Unfreezing
from callbacks.worst_batch import WorstBatch

__all__ = [
    "AccumulatedGradients",
    "AsyncDurableCheckpointIO",
    "DurableCheckpointIO",
    "Forecast",
    "StepSeeds",
    "StopSignals",
    "TimeBudget",
    "AugmentationSchedule",
    "CompetitionScore",
    "EarlyStopping",
    "ExponentialMovingAverage",
    "FinalValidation",
    "FiniteLoss",
    "GatheredMetric",
    "GradientNorm",
    "HardPairs",
    "ImageSize",
    "MeanTeacher",
    "PredictionTimeLimit",
    "PredictionWriter",
    "RunCheckpoint",
    "Snapshots",
    "TopCheckpoints",
    "Unfreezing",
    "WorstBatch",
]

"""What happens during a run where no stock Lightning class does it."""

from callbacks.averaging import ExponentialMovingAverage
from callbacks.early_stopping import EarlyStopping
from callbacks.final_validation import FinalValidation
from callbacks.finite_loss import FiniteLoss
from callbacks.prediction_writer import PredictionWriter
from callbacks.score import CompetitionScore

__all__ = [
    "CompetitionScore",
    "EarlyStopping",
    "ExponentialMovingAverage",
    "FinalValidation",
    "FiniteLoss",
    "PredictionWriter",
]

"""Which images an epoch sees, in which order, on which rank."""

from datamodules.samplers.order import Order
from datamodules.samplers.samples_per_class import SamplesPerClass
from datamodules.samplers.sharded import Draw, EvaluationSampler, TrainingSampler, rank_and_world
from datamodules.samplers.source_ratio import SourceRatio

__all__ = [
    "Draw",
    "EvaluationSampler",
    "Order",
    "SamplesPerClass",
    "SourceRatio",
    "TrainingSampler",
    "rank_and_world",
]

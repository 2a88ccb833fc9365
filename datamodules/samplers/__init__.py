"""Which images an epoch sees, in which order, on which rank."""

from datamodules.samplers.class_aware import ClassAware
from datamodules.samplers.curriculum import Curriculum
from datamodules.samplers.nonempty_batches import NonemptyBatches
from datamodules.samplers.order import Order
from datamodules.samplers.positive_rate import PositiveRate
from datamodules.samplers.samples_per_class import SamplesPerClass
from datamodules.samplers.sharded import Draw, EvaluationSampler, TrainingSampler, rank_and_world
from datamodules.samplers.source_ratio import SourceRatio
from datamodules.samplers.weighted import Weighted

__all__ = [
    "ClassAware",
    "Curriculum",
    "Draw",
    "EvaluationSampler",
    "NonemptyBatches",
    "Order",
    "PositiveRate",
    "SamplesPerClass",
    "SourceRatio",
    "TrainingSampler",
    "Weighted",
    "rank_and_world",
]

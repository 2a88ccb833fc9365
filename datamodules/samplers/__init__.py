"""Which images an epoch sees, in which order, on which rank."""

from datamodules.samplers.order import Order
from datamodules.samplers.samples_per_class import SamplesPerClass
from datamodules.samplers.sharded import Draw, EvaluationSampler, TrainingSampler, rank_and_world

__all__ = ["Draw", "EvaluationSampler", "Order", "SamplesPerClass", "TrainingSampler", "rank_and_world"]

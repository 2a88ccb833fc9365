"""Which images an epoch sees, in which order, on which rank."""

from datamodules.samplers.sharded import Draw, EvaluationSampler, TrainingSampler, rank_and_world

__all__ = ["Draw", "EvaluationSampler", "TrainingSampler", "rank_and_world"]

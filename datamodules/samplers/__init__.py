"""Samplers: which images an epoch draws, in which order, on which rank."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from datamodules.samplers.class_aware import ClassAware
from datamodules.samplers.curriculum import Curriculum
from datamodules.samplers.nonempty_batches import NonemptyBatches
from datamodules.samplers.order import Order
from datamodules.samplers.positive_rate import PositiveRate
from datamodules.samplers.ranks import rank_and_world
from datamodules.samplers.samples_per_class import SamplesPerClass
from datamodules.samplers.source_ratio import SourceRatio
from datamodules.samplers.weighted import Weighted

if TYPE_CHECKING:
    from datamodules.samplers.sharded import Draw, EvaluationSampler, TrainingSampler

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


def __getattr__(name: str) -> Any:
    if name not in ("Draw", "EvaluationSampler", "TrainingSampler"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("datamodules.samplers.sharded"), name)  # imported lazily: it needs torch

"""Loaders: how samples become batches, in how many processes."""

import os
from typing import Any, Literal

import cv2
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.collate import collate_evaluation, collate_training
from datamodules.samplers import EvaluationSampler


def training_loader(dataset: Dataset, sampler: Any, batch_size: int, workers: int) -> DataLoader:
    """Stacked batches of what the sampler draws."""
    # A lone last sample would stop batch norm ("expected more than 1 value per channel").
    drop_last = len(sampler) % batch_size == 1 and len(sampler) > 1
    return make_loader(dataset, sampler, batch_size, collate_training, workers, drop_last)


def evaluation_loader(dataset: Dataset, batch_size: int, workers: int) -> DataLoader:
    """Every sample once, in order, in lists: images differ in size."""
    return make_loader(dataset, EvaluationSampler(len(dataset)), batch_size, collate_evaluation, workers)


def make_loader(
    dataset: Dataset, sampler: Any, batch_size: int, collate: Any, workers: int, drop_last: bool = False
) -> DataLoader:
    """What all loaders share: processes that stay, one thread each, and pinned memory where there is a GPU."""
    workers = workers if len(dataset) else 0
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
    )


def worker_count(wanted: int | Literal["auto"]) -> int:
    """Loader processes: `auto` is one per CPU of this process up to 8, none on a single CPU."""
    if wanted != "auto":
        return wanted
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if cpus == 1 else min(8, cpus)


def next_epoch(trainer: pl.Trainer | None) -> int:
    """The epoch that is drawn next: workers begin with it before Lightning tells the sampler, also after a resume."""
    if trainer is None:
        return 0
    loop = trainer.fit_loop
    progress = loop.epoch_progress.current
    # A checkpoint from the validation at the end of an epoch: that epoch is drawn already.
    ended = loop.epoch_loop.batch_progress.is_last_batch and progress.processed < progress.ready
    return progress.processed + int(ended)


def _one_thread(worker: int) -> None:
    # One process per CPU already; cv2's own threads would only fight over them.
    cv2.setNumThreads(0)

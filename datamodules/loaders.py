"""Loaders: collate samples into batches in worker processes."""

import os
from typing import Any, Literal

import cv2
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.collate import collate_evaluation, collate_training
from datamodules.samplers import EvaluationSampler


def training_loader(dataset: Dataset, sampler: Any, batch_size: int, workers: int) -> DataLoader:
    """Return a loader of stacked batches of the samples drawn by the sampler."""
    # A last batch of one sample would break batch norm ("expected more than 1 value per channel").
    drop_last = len(sampler) % batch_size == 1 and len(sampler) > 1
    return make_loader(dataset, sampler, batch_size, collate_training, workers, drop_last)


def evaluation_loader(dataset: Dataset, batch_size: int, workers: int) -> DataLoader:
    """Return a loader of every sample once, in order, in lists, as images differ in size."""
    return make_loader(dataset, EvaluationSampler(len(dataset)), batch_size, collate_evaluation, workers)


def make_loader(
    dataset: Dataset, sampler: Any, batch_size: int, collate: Any, workers: int, drop_last: bool = False
) -> DataLoader:
    """Return a DataLoader with persistent workers of one thread each, and pinned memory if there is a GPU."""
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
    """Return the number of loader processes: `auto` is one per CPU of this process up to 8, 0 with a single CPU."""
    if wanted != "auto":
        return wanted
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if cpus == 1 else min(8, cpus)


def next_batch(trainer: pl.Trainer | None) -> tuple[int, int]:
    """Return the epoch and the batch in it to draw next, also on resume.

    Workers start the epoch before Lightning sets the sampler's.
    """
    if trainer is None:
        return 0, 0
    loop = trainer.fit_loop
    epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress
    done: int = epochs.processed
    if done >= epochs.ready:
        return done, 0
    # In a checkpoint from the validation at the end of an epoch, that epoch is already drawn.
    return (done + 1, 0) if batches.is_last_batch else (done, batches.current.processed)


def _one_thread(worker: int) -> None:
    # There is one process per CPU already; threads of cv2 would only compete for them.
    cv2.setNumThreads(0)

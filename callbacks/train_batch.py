"""Callback that draws the first training batch as the network sees it."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from callbacks.score import as_arrays, class_names
from evaluation.sample_panel import Sample, draw_samples
from files.png import write_png
from lightning_modules import BaseModule

APART = ("image_id", "original_size", "weight", "features", "unreadable")  # of a batch, no targets


class TrainBatchPanel(pl.Callback):
    """Draws images and targets of the first batch of `fit`, augmented in workers and on the device, to a PNG file.

    Args:
        path: path of the file, `panels/train_batch.png` of the run folder.
        count: number of samples.
    """

    def __init__(self, path: Path, count: int = 8) -> None:
        self.path, self.count = path, count

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and isinstance(pl_module, BaseModule):
            names = class_names(trainer)

            def draw(batch: dict[str, Any]) -> None:
                pl_module.batch_viewer = None  # only the first
                max_value = pl_module.get_buffer("input_range").item()
                draw_batch(self.path, batch, max_value, pl_module.inputs, names, self.count)

            pl_module.batch_viewer = draw


def draw_batch(
    path: Path, batch: dict[str, Any], max_value: float, inputs: list[str], names: list[str], count: int = 8
) -> None:
    """Draw the first samples of an augmented training batch to a PNG file, written atomically.

    Args:
        path: path of the file.
        batch: `image` `(N, C, *spatial)` and targets, see `docs/contracts.md`.
        max_value: pixel value that means 1.0.
        inputs: keys of the inputs of the network; those with the axes of `image` are images.
        names: class names.
        count: number of samples.
    """
    images = ["image", *(name for name in inputs if name != "image" and batch[name].ndim == batch["image"].ndim)]
    samples = []
    for index in range(min(count, len(batch["image_id"]))):
        values = as_arrays({name: value[index] for name, value in batch.items() if isinstance(value[index], Tensor)})
        targets = {name: array for name, array in values.items() if name not in (*APART, *images)}
        samples.append(Sample(batch["image_id"][index], {name: values[name] for name in images}, targets))
    shape = " x ".join(map(str, batch["image"].shape))
    write_png(path, draw_samples(samples, max_value, names, f"first training batch   {shape}"))

"""A training step against a bare PyTorch loop: what Lightning's usual set-up costs, and what ours does.

    python -m benchmarks.loop_overhead            # everything
    python -m benchmarks.loop_overhead --quick    # the fixed cost alone, a minute

Three questions. The fixed cost of a step: a network of one convolution, for which all else is overhead. The share of it
in real training: U-Net/resnet18 at 256 x 256, as a ratio of process CPU time, because wall time swings with the
allocator and with whoever shares the machine. And what the default recipe for CPUs (channels_last, bfloat16) brings.
"""

import argparse
import contextlib
import itertools
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
import torchmetrics
from pytorch_lightning.callbacks import LearningRateMonitor, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.measure import Report
from callbacks import FiniteLoss
from lightning_modules import AutoPrecision, SegmentationModule, WarmupCosine
from loggers.metrics_csv import MetricsCSV
from losses import LossFormula

LOSS = "bce"
Steps = tuple[float, float]  # seconds of a step: wall, CPU


class Clock(pl.Callback):
    """Time of the steps after the first ones, which build what later ones use again."""

    def __init__(self, warm: int) -> None:
        self.warm, self.steps, self.spent = warm, 0, (0.0, 0.0)

    def on_train_batch_start(self, trainer: pl.Trainer, *arguments: object) -> None:
        if self.steps == self.warm:
            self.began = time.perf_counter(), time.process_time()
        self.steps += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, *arguments: object) -> None:
        counted = self.steps - self.warm
        self.spent = (
            (time.perf_counter() - self.began[0]) / counted,
            (time.process_time() - self.began[1]) / counted,
        )


class Usual(pl.LightningModule):
    """What most notebooks have: the loss logged per step and epoch, the learning rate, a torchmetric each step."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.loss = network, LossFormula(LOSS)
        self.iou = torchmetrics.JaccardIndex("binary")

    def training_step(self, batch: dict, index: int) -> torch.Tensor:
        logits = self.network(normalised(batch["image"]))
        loss, _ = self.loss({"mask": logits}, batch)
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(logits))
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=len(logits))
        self.log("train/iou", self.iou(logits.detach(), batch["mask"]), prog_bar=True, batch_size=len(logits))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image.float() / 255.0 - 0.45) / 0.23


def make_batch(size: int, side: int) -> dict:
    """A batch as the loader makes it."""
    random = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(256, (size, 3, side, side), generator=random, dtype=torch.uint8),
        "mask": torch.randint(2, (size, 1, side, side), generator=random, dtype=torch.uint8),
        "weight": torch.ones(size),
        "image_id": [str(index) for index in range(size)],
    }


def bare(make: Callable[[], nn.Module], batch: dict, steps: int, warm: int) -> Steps:
    """The loop one would write by hand, nothing logged."""
    torch.manual_seed(0)
    network, loss_of = make().train(), LossFormula(LOSS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for step in range(steps):
        if step == warm:
            began = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss, _ = loss_of({"mask": network(normalised(batch["image"]))}, batch)
        loss.backward()
        optimizer.step()
    return (
        (time.perf_counter() - began[0]) / (steps - warm),
        (time.process_time() - began[1]) / (steps - warm),
    )


def fitted(module: pl.LightningModule, batch: dict, steps: int, warm: int, folder: str, **settings: object) -> Steps:
    """A Trainer's steps."""
    clock = Clock(warm)
    callbacks = [clock, *settings.pop("callbacks", [])]
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_model_summary=False,
        **{"logger": False, "enable_progress_bar": False, **settings},
    )
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # the bar is drawn, but not shown
        trainer.fit(module, DataLoader(Same(batch, steps), batch_size=None))
    return clock.spent


class Same(torch.utils.data.IterableDataset):
    """The same batch again and again: loading is not what is measured."""

    def __init__(self, batch: dict, steps: int) -> None:
        self.batch, self.steps = batch, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict]:
        return itertools.repeat(self.batch, self.steps)


def our_module(network: nn.Module, channels_last: bool) -> SegmentationModule:
    return SegmentationModule(
        network,
        outputs=["mask"],
        loss=LOSS,
        mean=0.45,
        std=0.23,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        scheduler=WarmupCosine,
        channels_last=channels_last,
    )


def variants(make: Callable[[], nn.Module], batch: dict, steps: int, warm: int, folder: str) -> dict[str, Callable]:
    """Name -> one run."""

    def bare_trainer() -> Steps:
        torch.manual_seed(0)

        class Plain(Usual):
            def training_step(self, batch: dict, index: int) -> torch.Tensor:
                return self.loss({"mask": self.network(normalised(batch["image"]))}, batch)[0]

        return fitted(Plain(make()), batch, steps, warm, folder)

    def usual() -> Steps:
        torch.manual_seed(0)
        more = {"callbacks": [TQDMProgressBar(), LearningRateMonitor("step")], "enable_progress_bar": True}
        logger = CSVLogger(folder)
        return fitted(Usual(make()), batch, steps, warm, folder, logger=logger, log_every_n_steps=1, **more)

    def ours(channels_last: bool = False, precise: bool = True) -> Steps:
        torch.manual_seed(0)
        watching = [TQDMProgressBar(refresh_rate=5), FiniteLoss(), LearningRateMonitor("step")]
        more = {} if precise else {"plugins": [AutoPrecision()]}
        return fitted(
            our_module(make(), channels_last),
            batch,
            steps,
            warm,
            folder,
            logger=MetricsCSV(Path(folder), "fit"),
            log_every_n_steps=10,
            callbacks=watching,
            enable_progress_bar=True,
            **more,
        )

    return {
        "bare loop": lambda: bare(make, batch, steps, warm),
        "Trainer, nothing logged": bare_trainer,
        "Lightning as usual": usual,
        "ours": ours,
        "ours, channels_last and bf16": lambda: ours(channels_last=True, precise=False),
    }


def measured(runs: dict[str, Callable[[], Steps]], rounds: int) -> dict[str, list[Steps]]:
    """Variants in turns."""
    found: dict[str, list[Steps]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def rows(report: Report, work: str, found: dict[str, list[Steps]]) -> None:
    """A row per variant: medians, and the median over rounds of the difference to and the share of the bare loop."""
    raw = found["bare loop"]
    for name, steps in found.items():
        wall, cpu = (statistics.median(step[clock] for step in steps) * 1e3 for clock in (0, 1))
        more = statistics.median(own[1] - base[1] for own, base in zip(steps, raw, strict=True)) * 1e3
        share = [
            statistics.median(base[clock] / own[clock] for own, base in zip(steps, raw, strict=True))
            for clock in (0, 1)
        ]
        report.line(f"| {work} | {name} | {wall:.3f} | {cpu:.3f} | {more:+.3f} | {share[0]:.2f} | {share[1]:.2f} |")


def main() -> None:
    """Measure and write `benchmarks/results/loop_overhead.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the fixed cost alone; writes nothing")
    parser.add_argument("--rounds", type=int, default=7, help="turns of all variants; odd, at least 5")
    parser.add_argument("--steps", type=int, default=600, help="steps of the one-convolution network in a turn")
    parser.add_argument("--unet_steps", type=int, default=8, help="steps of the U-Net in a turn")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    report = Report(
        "loop_overhead",
        ["torch", "pytorch-lightning", "segmentation-models-pytorch"],
        ("work", "variant", "wall ms a step", "CPU ms", "CPU ms over bare", "of bare (wall)", "of bare (CPU)"),
        f"{torch.get_num_threads()} torch threads; load of the machine at the start {os.getloadavg()[0]:.1f}.",
    )
    with tempfile.TemporaryDirectory() as folder:
        small = make_batch(2, 16)
        runs = variants(lambda: nn.Conv2d(3, 1, 3, padding=1), small, arguments.steps, 20, folder)
        del runs["ours, channels_last and bf16"]
        rows(report, "one convolution", measured(runs, arguments.rounds))
        if arguments.quick:
            return

        def unet() -> nn.Module:
            return smp.Unet("resnet18", encoder_weights=None)

        runs = variants(unet, make_batch(8, 256), arguments.unet_steps, 2, folder)
        rows(report, "U-Net/resnet18, 8 x 256 x 256", measured(runs, arguments.rounds))
    report.save()


if __name__ == "__main__":
    main()

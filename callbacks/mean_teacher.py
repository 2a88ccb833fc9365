"""Mean teacher: semi-supervised training on unlabelled images with a moving average of the network."""

import math
import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.utils.data import DataLoader

from augmentations import Augmentation
from augmentations.base import on_batch
from callbacks.averaging import ExponentialMovingAverage, move_towards
from compat.lightning import average_of
from compat.torch import is_batch_norm
from datamodules.collate import collate_training
from datamodules.dataset import TrainingDataset
from datamodules.loaders import make_loader, worker_count
from datamodules.samplers import TrainingSampler
from lightning_modules.base import BaseModule
from lightning_modules.outputs import activate
from losses.levels import resize_target
from losses.mse import MseLoss


class MeanTeacher(ExponentialMovingAverage):
    """Mean teacher (Tarvainen and Valpola 2017): consistency with the moving average of weights on unlabelled images.

    In every step the student (the trained network) and the teacher (its moving average) process the same unlabelled
    images with different noise; the mean squared difference of their probabilities is added to the loss and logged as
    `train/consistency`. The teacher gets no gradient. SIIM-ACR's 5th place used it on the test images, with `outputs:
    {mask: 1, empty: 0.001}`.

    After step t = 0, 1, … the teacher is d · teacher + (1 − d) · student with d = min(1 − 1 / (t + 1), decay), so that
    it follows closely while the student still learns fast. As in the paper dropout stays on in the teacher, and its
    batch norms use the statistics of the batch; the saved statistics are averages of the student's.

    Use it instead of `ema`, in `trainer.callbacks`. Images are augmented by `data.augmentation`, which must result in
    one size, but not by `model.augmentation`, which may mix labels.

    Args:
        images: unlabelled images: `test` (`data.test_images`), or a folder.
        decay: largest decay of the teacher, in (0, 1); 0.999 in the paper, 0.99 for short runs.
        weight: weight of the consistency loss after ramp-up. With 1 it is at first no larger than the supervised loss;
            the paper uses up to 100 for very few labels.
        ramp_up: fraction of the run over which the weight rises as exp(−5 (1 − x)²); 80 of 300 epochs in the paper.
        outputs: weights of the outputs (default: 1 each).
        batch_size: number of unlabelled images per step and rank (default: `data.batch_size`).
        noise: standard deviation of Gaussian noise on normalised images; 0.15 in the paper.
        augmentation: augmentations drawn separately for student and teacher (`augmentations.Colour`); they must not be
            geometric, or masks would not match.
        evaluate: the network to validate, save as the weights of checkpoints, and predict with.

    Raises:
        ValueError: an argument is out of its range, an output is unknown, there are no unlabelled images, or
            `data.windows` is set.
    """

    def __init__(
        self,
        images: str = "test",
        decay: float = 0.999,
        weight: float = 1.0,
        ramp_up: float = 0.27,
        outputs: dict[str, float] | None = None,
        batch_size: int | None = None,
        noise: float = 0.15,
        augmentation: list[Augmentation] | None = None,
        evaluate: Literal["teacher", "student"] = "teacher",
    ) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"MeanTeacher: decay is {decay}, expected a number between 0 and 1")
        if weight < 0 or not 0 <= ramp_up <= 1 or noise < 0 or (batch_size or 1) < 1:
            raise ValueError(
                f"MeanTeacher: weight is {weight}, ramp_up {ramp_up}, noise {noise}, batch_size {batch_size}; expected "
                "weight >= 0, ramp_up in [0, 1], noise >= 0, batch_size >= 1"
            )
        super().__init__(decay=decay)
        self.images, self.weight, self.ramp_up, self.outputs = images, weight, ramp_up, outputs
        self.batch_size, self.noise, self.augmentation = batch_size, noise, augmentation or []
        self.evaluate = evaluate
        self.drawn = 0  # unlabelled batches so far
        self._batches: Iterator[dict[str, Any]] | None = None

    def _average(self, averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        move_towards(averaged, current, min(1 - 1 / (int(count) + 1), self.decay))

    # --- the images ---------------------------------------------------------------------------------------------------

    def setup(self, trainer: pl.Trainer, pl_module: BaseModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        unknown = sorted(set(self.outputs or {}) - set(pl_module.names))
        if unknown:
            raise ValueError(f"MeanTeacher: outputs names {unknown}, but model.outputs are {pl_module.names}")
        if trainer.datamodule.windows is not None:
            raise ValueError("MeanTeacher: unlabelled images cannot be cut by data.windows; remove one of the two")
        teacher = average_of(self)
        for part in teacher.modules():
            if is_batch_norm(part):
                part.momentum = 0.0  # uses the statistics of the batch, keeps the averaged ones
        teacher.train()

    def loader(self, data: Any) -> DataLoader:
        """Training batches without targets."""
        table = data.split_table(self.images)
        size = self.batch_size or data.batch_size
        sampler = TrainingSampler(len(table), seed=data.seed)
        if len(sampler) < size:
            raise ValueError(
                f"MeanTeacher: {self.images!r} has {len(sampler)} images per rank, fewer than a batch of {size}; "
                "lower its batch_size"
            )
        dataset = TrainingDataset(table, data._decoder([]), [], data.augmentation, data.features)
        return make_loader(dataset, sampler, size, collate_training, worker_count(data.num_workers), drop_last=True)

    def batches(self, data: Any) -> Iterator[dict[str, Any]]:
        """Endless passes over the shuffled images; a resumed run continues where it stopped."""
        loader = self.loader(data)
        whole, skipped = divmod(self.drawn, len(loader))
        while True:
            loader.sampler.set_epoch(whole)
            for number, batch in enumerate(loader):
                if number >= skipped:
                    yield batch
            whole, skipped = whole + 1, 0

    # --- the loss -----------------------------------------------------------------------------------------------------

    def on_after_backward(self, trainer: pl.Trainer, pl_module: BaseModule) -> None:
        if self._batches is None:
            self._batches = self.batches(trainer.datamodule)
        batch = move_data_to_device(next(self._batches), pl_module.device)
        with trainer.precision_plugin.train_step_context():
            loss = self.consistency(pl_module, batch, trainer.global_rank)
        self.drawn += 1
        pl_module.log("train/consistency", loss.detach(), batch_size=len(batch["image_id"]))
        loss = loss * self.weight * self.ramp(pl_module.progress()) / trainer.accumulate_grad_batches
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        add_gradient(trainer, pl_module, loss if scaler is None else scaler.scale(loss))

    def ramp(self, progress: float) -> float:
        """Factor of the weight at this progress of the run."""
        return 1.0 if progress >= self.ramp_up else math.exp(-5 * (1 - progress / self.ramp_up) ** 2)

    def consistency(self, student: BaseModule, batch: dict[str, Any], rank: int = 0) -> Tensor:
        """Weighted sum over outputs of the mean squared difference of probabilities over valid pixels."""
        weights = {name: 1.0 for name in student.names} if self.outputs is None else self.outputs
        first, second = self.views(student, batch, rank)
        with torch.no_grad():
            teacher = average_of(self).module(*student.network_inputs(second))
        logits = student(*student.network_inputs(first))
        parts = []
        for name, weight in weights.items():
            one, other = (value[0] if isinstance(value, list) else value for value in (logits[name], teacher[name]))
            kind = student.activations[name]
            parts.append(weight * differ(activate(one, kind), activate(other, kind), first.get("valid")))
        return torch.stack(parts).sum()

    def views(self, student: BaseModule, batch: dict[str, Any], rank: int) -> list[dict[str, Any]]:
        """The batch for the student and that for the teacher; reproducible in a resumed run."""
        seed = [int(os.environ.get("PL_GLOBAL_SEED", 0)), self.drawn, rank]
        rng = np.random.default_rng(seed)
        scale = self.noise * student.std.reshape(-1, *[1] * (batch["image"].dim() - 2)) * student.input_range
        views = []
        for _ in range(2):
            view = on_batch(self.augmentation, batch, student._full, rng)
            generator = torch.Generator(student.device).manual_seed(int(rng.integers(2**62)))
            image = view["image"].float()
            noise = torch.randn(image.shape, generator=generator, device=image.device)
            views.append(view | {"image": image + scale * noise})
        return views

    # --- teacher or student -------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swapped = False
        if self.evaluate == "teacher":
            super().on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.evaluate == "teacher":
            super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self.evaluate == "student":
            checkpoint |= swapped_weights(checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        kept = checkpoint | swapped_weights(checkpoint) if self.evaluate == "student" else checkpoint
        super().on_load_checkpoint(trainer, pl_module, kept)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"drawn": self.drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.drawn = state_dict["drawn"]


def differ(one: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
    """Mean squared difference of two outputs where `valid` `(N, *spatial)`, resized to them, is True."""
    counted = None if valid is None or one.dim() < 3 else resize_target(valid.unsqueeze(1).float(), one)
    return MseLoss(on="logit")(one, other, counted)


def swapped_weights(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The averaged and current weights, swapped."""
    if "current_model_state" not in checkpoint:
        return {}
    return {
        "state_dict": checkpoint["current_model_state"],
        "current_model_state": checkpoint["state_dict"],
    }


def add_gradient(trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
    """Add the gradient of another loss, averaged over ranks, to that of the last backward pass."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    pairs = [(parameter, grad) for parameter, grad in zip(trained, found, strict=True) if grad is not None]
    if trainer.world_size > 1:  # DDP averages only the gradients of its own backward pass
        flat = trainer.strategy.reduce(torch.cat([grad.flatten() for _, grad in pairs]), reduce_op="mean")
        parts = flat.split([grad.numel() for _, grad in pairs])
        pairs = [(parameter, part.view_as(parameter)) for (parameter, _), part in zip(pairs, parts, strict=True)]
    for parameter, grad in pairs:
        parameter.grad = grad.clone() if parameter.grad is None else parameter.grad.add_(grad)

"""Which augmentation an epoch has: none, then soft, then hard."""

from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from augmentations.base import flatten_steps
from augmentations.stages import Stages
from callbacks.score import CompetitionScore


@dataclass
class Stage:
    """A stage of training, and what ends it; the last one needs no end.

    Args:
        use: name of the list of augmentations in `augmentations.Stages`.
        epochs: it ends after so many epochs.
        patience: or after so many validations in a row without improvement over the best of this stage.
    """

    use: str
    epochs: int | None = None
    patience: int | None = None


class AugmentationSchedule(pl.Callback):
    """Switch the stages of all `augmentations.Stages`, under `data.augmentation` and `model.augmentation`, by epochs.

    Inclusive Images 2018, 2nd place: nothing until the score is flat, then some epochs of soft augmentation (turns of
    -30 to 30 degrees), then hard (-30 or 30): `[{use: none, patience: 3}, {use: soft, epochs: 5}, {use: hard, epochs:
    5}]`. A switch takes place between two epochs, the same two on all ranks, and workers see it. A last stage with an
    end ends the run. The stage's number is logged as `train/augmentation`; a checkpoint holds where the schedule is.

    Args:
        stages: in order.
        monitor: logged value that `patience` watches.
        mode: `max` when higher is better; for `val/score` the competition's metric says it.
        min_delta: smallest change that counts as an improvement.

    Raises:
        ValueError: a stage with both ends or (but for the last) none, a name that no `Stages` has, no `Stages` at all,
            a monitored value that was not logged.
    """

    def __init__(
        self,
        stages: list[Stage],
        monitor: str = "val/score",
        mode: Literal["min", "max"] | None = None,
        min_delta: float = 0.0,
    ) -> None:
        for number, stage in enumerate(stages):
            ends = [end for end in (stage.epochs, stage.patience) if end is not None]
            if len(ends) > 1 or min([1, *ends]) < 1 or (not ends and number < len(stages) - 1):
                raise ValueError(
                    f"AugmentationSchedule: stage {number} ({stage.use}) has epochs {stage.epochs} and patience "
                    f"{stage.patience}, expected one of them, 1 or more; only the last stage needs none"
                )
        if not stages:
            raise ValueError("AugmentationSchedule: stages is empty")
        if mode is None and monitor != "val/score":
            raise ValueError(f"AugmentationSchedule: is a higher {monitor} better? set mode to max or min")
        self.stages, self.monitor, self.mode, self.min_delta = stages, monitor, mode, min_delta
        self.begins = [0]  # first epoch of each stage that has begun, or will with the next epoch
        self.epoch = 0  # the next one to be drawn
        self.best: float | None = None
        self.stalled = 0
        self.switched: list[Stages] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        steps = [*getattr(trainer.datamodule, "augmentation", []), *pl_module.augmentation]
        self.switched = [step for step in flatten_steps(steps) if isinstance(step, Stages)]
        if not self.switched:
            raise ValueError(
                "callbacks.AugmentationSchedule: neither data.augmentation nor model.augmentation has an "
                "augmentations.Stages to switch"
            )
        for one in reversed(self.stages):  # every name must be known; the first stage stays
            self._switch(one.use)
        self._enter(self.epoch)

    def stage_at(self, epoch: int) -> int:
        """Number of the stage of an epoch, as far as it is known by now."""
        return sum(begin <= epoch for begin in self.begins) - 1

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Before the loader is asked for this epoch's first batch.
        self._enter(trainer.current_epoch)
        number = float(self.stage_at(self.epoch))
        pl_module.log("train/augmentation", number, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # before validation, where checkpoints are made
            self.epoch = trainer.current_epoch + 1
            last = self.stages[-1]
            if len(self.begins) == len(self.stages) and last.epochs is not None:
                trainer.should_stop |= self.epoch - self.begins[-1] >= last.epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch = trainer.current_epoch + 1  # also where `max_steps` has cut the epoch short

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stage = self.stages[self.stage_at(trainer.current_epoch)]
        pending = self.begins[-1] > trainer.current_epoch
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or stage.patience is None or pending:
            return
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"AugmentationSchedule: monitor is {self.monitor!r}, logged are {sorted(trainer.callback_metrics)}"
            )
        # One value for all: ranks that switch apart would train on different things.
        value = trainer.strategy.broadcast(float(trainer.callback_metrics[self.monitor]))
        if self._improved(value, self._sign(trainer)):
            self.best, self.stalled = value, 0
            return
        self.stalled += 1
        if self.stalled < stage.patience:
            return
        if len(self.begins) == len(self.stages):
            trainer.should_stop = True
            return
        self.begins.append(trainer.current_epoch + 1)
        self.best, self.stalled = None, 0

    def _improved(self, value: float, sign: int) -> bool:
        return value == value and (self.best is None or sign * (value - self.best) > self.min_delta)

    def _sign(self, trainer: pl.Trainer) -> int:
        if self.mode is not None:
            return 1 if self.mode == "max" else -1
        score = next((c for c in trainer.callbacks if isinstance(c, CompetitionScore)), None)
        return 1 if score is None or score.competition.metric.higher_is_better else -1

    def _enter(self, epoch: int) -> None:
        """Begin the stages whose time has come, and switch to the one of this epoch."""
        self.epoch = epoch
        while len(self.begins) < len(self.stages):
            epochs = self.stages[len(self.begins) - 1].epochs
            if epochs is None or self.begins[-1] + epochs > epoch:
                break
            self.begins.append(self.begins[-1] + epochs)
        self._switch(self.stages[self.stage_at(epoch)].use)

    def _switch(self, name: str) -> None:
        for step in self.switched:
            step.switch(name)

    def state_dict(self) -> dict[str, Any]:
        return {"begins": list(self.begins), "epoch": self.epoch, "best": self.best, "stalled": self.stalled}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if len(state_dict["begins"]) > len(self.stages):
            raise ValueError(
                f"AugmentationSchedule: the checkpoint is in stage {len(state_dict['begins'])} of its schedule, this "
                f"one has {len(self.stages)}; start anew from its weights with model.init_from"
            )
        self.begins, self.best = list(state_dict["begins"]), state_dict["best"]
        self.stalled = state_dict["stalled"]
        self._enter(state_dict["epoch"])  # workers draw before any hook of the first epoch

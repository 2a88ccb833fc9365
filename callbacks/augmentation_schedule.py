"""Schedule of augmentation stages: none, then soft, then hard."""

from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from augmentations.base import flatten_steps
from augmentations.stages import Stages
from callbacks.score import CompetitionScore


@dataclass
class Stage:
    """A stage of training with its end criterion, which is optional for the last stage.

    Args:
        use: name of the list of augmentations in `augmentations.Stages`.
        epochs: number of epochs of the stage.
        patience: number of consecutive validations without improvement in this stage after which it ends.
    """

    use: str
    epochs: int | None = None
    patience: int | None = None


class AugmentationSchedule(pl.Callback):
    """Switches the stages of all `augmentations.Stages`, under `data.augmentation` and `model.augmentation`.

    Inclusive Images 2018, 2nd place: none until the score is flat, then some epochs of soft augmentation (rotations
    within ±30 degrees), then hard (-30 or 30): `[{use: none, patience: 3}, {use: soft, epochs: 5}, {use: hard, epochs:
    5}]`. Stages switch between two epochs, on all ranks at once, and in the workers. A last stage with an end criterion
    ends the run. The number of the stage is logged as `train/augmentation`; checkpoints hold the state of the schedule.

    Args:
        stages: the stages, in order.
        monitor: logged value for `patience`.
        mode: `max` if higher is better, `min` if lower (default for `val/score`: that of the metric).
        min_delta: smallest change that counts as an improvement.

    Raises:
        ValueError: a stage has both end criteria or, before the last, none, no `Stages` has its name, there are no
            `Stages`, or the monitored value is not logged.
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
                    f"{stage.patience}, expected one of them, 1 or more; it is optional only for the last stage"
                )
        if not stages:
            raise ValueError("AugmentationSchedule: stages is empty")
        if mode is None and monitor != "val/score":
            raise ValueError(
                f"AugmentationSchedule: monitor is {monitor!r}, so set mode to max (higher is better) or min"
            )
        self.stages, self.monitor, self.mode, self.min_delta = stages, monitor, mode, min_delta
        self.begins = [0]  # first epoch of each stage that has started or starts with the next epoch
        self.epoch = 0  # the next epoch
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
        for one in reversed(self.stages):  # checks every name and ends at the first stage
            self._switch(one.use)
        self._enter(self.epoch)

    def stage_at(self, epoch: int) -> int:
        """Index of the stage of an epoch, as far as known."""
        return sum(begin <= epoch for begin in self.begins) - 1

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Before the loader loads the first batch of this epoch.
        self._enter(trainer.current_epoch)
        number = float(self.stage_at(self.epoch))
        pl_module.log("train/augmentation", number, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # before validation, after which checkpoints are saved
            self.epoch = trainer.current_epoch + 1
            last = self.stages[-1]
            if len(self.begins) == len(self.stages) and last.epochs is not None:
                trainer.should_stop |= self.epoch - self.begins[-1] >= last.epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch = trainer.current_epoch + 1  # also if `max_steps` ended the epoch early

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stage = self.stages[self.stage_at(trainer.current_epoch)]
        pending = self.begins[-1] > trainer.current_epoch
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or stage.patience is None or pending:
            return
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"AugmentationSchedule: monitor is {self.monitor!r}, but logged are {sorted(trainer.callback_metrics)}"
            )
        # One value for all ranks, so that they switch at the same time.
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
        """Start due stages, and switch to the stage of this epoch."""
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
                f"AugmentationSchedule: the checkpoint is in stage {len(state_dict['begins'])}, but this schedule has "
                f"{len(self.stages)}; start a new run from its weights with model.init_from"
            )
        self.begins, self.best = list(state_dict["begins"]), state_dict["best"]
        self.stalled = state_dict["stalled"]
        self._enter(state_dict["epoch"])  # workers load batches before any hook of the first epoch

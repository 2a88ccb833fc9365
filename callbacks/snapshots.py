"""Additional checkpoints, for weight averaging or ensembles."""

from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from callbacks.run_checkpoint import in_folder

LAST = ("step", "epoch")  # monitors whose highest values are the newest


class TopCheckpoints(ModelCheckpoint):
    """Keeps the checkpoints of the best validations, or the newest, as `checkpoints/top-<epoch>-<step>.ckpt`.

    SIIM-ACR's 1st place averaged predictions of the best 3 of a fold, HPA's 3rd the weights of the last 10. `python
    cli.py average` averages them into one checkpoint. The best and last checkpoints of the run are not affected.

    Args:
        k: number of checkpoints to keep.
        monitor: logged value that ranks checkpoints; `step` keeps the newest, one per epoch.
        mode: `max` if higher is better, `min` if lower (default: that of the run's best checkpoint if it monitors the
            same value, for `val/score` that of the metric; else `min` for a loss and `max` for others).

    Raises:
        ValueError: `k` is below 1.
    """

    def __init__(self, k: int = 3, monitor: str = "val/score", mode: Literal["min", "max"] | None = None) -> None:
        if k < 1:
            raise ValueError(f"TopCheckpoints: k is {k}, expected 1 or more")
        self.given_mode = mode
        super().__init__(
            monitor=monitor,
            mode=mode or ("min" if monitor.endswith("loss") else "max"),
            save_top_k=k,
            filename="top-{epoch:03d}-{step:06d}",
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True if monitor in LAST else None,
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        main = main_checkpoint(trainer)
        if main is not None:
            self.dirpath = main.dirpath
            if self.given_mode is None and main.monitor == self.monitor and main.mode != self.mode:
                self.mode = main.mode
                self.kth_value = torch.tensor(float("inf" if self.mode == "min" else "-inf"))
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"mode": self.mode}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(in_folder(state_dict, self.dirpath))


class Snapshots(pl.Callback):
    """Saves a checkpoint at the end of each cycle of a cosine schedule with restarts (Huang et al. 2017).

    Each cycle ends in a different minimum, so the networks of one run are diverse enough for an ensemble. The files are
    `checkpoints/snapshot-01.ckpt`, …; an unfinished cycle has none.

    Args:
        last: number of newest snapshots to keep (default: all). The paper's ensembles leave out the first cycles.

    Raises:
        ValueError: `last` is below 1, or the schedule is not
            `model.scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts}`.
    """

    def __init__(self, last: int | None = None) -> None:
        if last is not None and last < 1:
            raise ValueError(f"Snapshots: last is {last}, expected 1 or more")
        self.last, self.cycles, self.moves = last, 0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.moves = self.schedule(trainer).last_epoch

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        schedule = self.schedule(trainer)
        if schedule.last_epoch == self.moves:
            return
        self.moves = schedule.last_epoch
        if schedule.T_cur:  # within a cycle
            return
        self.cycles += 1
        main = main_checkpoint(trainer)
        folder = Path(main.dirpath if main is not None else Path(trainer.default_root_dir) / "checkpoints")
        trainer.save_checkpoint(folder / f"snapshot-{self.cycles:02d}.ckpt")
        if self.last is not None and trainer.is_global_zero:
            (folder / f"snapshot-{self.cycles - self.last:02d}.ckpt").unlink(missing_ok=True)

    def schedule(self, trainer: pl.Trainer) -> CosineAnnealingWarmRestarts:
        """The cosine schedule with restarts."""
        found = [settings.scheduler for settings in trainer.lr_scheduler_configs]
        for scheduler in found:
            if isinstance(scheduler, CosineAnnealingWarmRestarts):
                return scheduler
        names = ", ".join(type(scheduler).__name__ for scheduler in found) or "none"
        raise ValueError(
            f"Snapshots: the schedule is {names}, expected model.scheduler: "
            "{class_path: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts, init_args: {T_0: epochs per cycle}}"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"cycles": self.cycles}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.cycles = state_dict["cycles"]


def main_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The checkpoint callback of the run, which keeps the best and the last."""
    kinds = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    found = [callback for callback in kinds if not isinstance(callback, TopCheckpoints)]
    return found[-1] if found else None  # callbacks of `trainer.callbacks` precede it

"""Write what a run needs to be repeated, when a fit starts."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from experiments.run_folder import RunFolder
from files.writing import write_bytes, write_text

GO_ON = "the same command with --ckpt_path last goes on from the last checkpoint"


class SaveRun(pl.Callback):
    """Write `config.yaml`, `run.json` and a copy of the folds when a fit starts; no other verb touches them.

    Every checkpoint gets the hash of the folds it was trained with.

    Args:
        run: the run folder.
        config: the whole resolved config as YAML text.
        facts: commit, command and config hash of the run.
        anew: drop what another run has left in the folder. It goes when the new one's classes are built and its data
            are found: a slip of the pen does not cost a trained run.
    """

    def __init__(self, run: RunFolder, config: str, facts: dict[str, Any], anew: bool = False) -> None:
        self.run, self.config, self.start_facts, self.anew = run, config, facts, anew
        self.folds_hash: str | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.folds_hash = trainer.datamodule.folds_hash()
        if trainer.is_global_zero:
            old = (*self.run.checkpoints.glob("*.ckpt"), self.run.path / "metrics.csv", self.run.path / "scores.csv")
            for path in old if self.anew else ():
                path.unlink(missing_ok=True)
            write_text(self.run.config, self.config)
            if isinstance(trainer.datamodule.fold, int):
                write_bytes(self.run.folds, Path(trainer.datamodule.folds).read_bytes())
            self.run.write_facts(**self.start_facts, folds_hash=self.folds_hash, state="started")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["folds_hash"] = self.folds_hash

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        check_folds(checkpoint.get("folds_hash"), self.folds_hash, trainer.datamodule.folds)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            kept = getattr(trainer.checkpoint_callback, "best_model_path", "")
            done = {"steps": trainer.global_step, "epochs": trainer.current_epoch}
            self.run.write_facts(state="finished", best=Path(kept).name or None, **done)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if trainer.is_global_zero and isinstance(exception, KeyboardInterrupt):
            kept = (self.run.checkpoints / "last.ckpt").is_file()
            print("\nstopped; " + (GO_ON if kept else "no checkpoint yet, the first comes with the first validation"))


def check_folds(before: str | None, now: str | None, file: str | None) -> None:
    """Refuse folds that are not those a run was trained with: it would be scored on images that it was trained on.

    Args:
        before: hash that the checkpoint holds; None for one that holds none.
        now: hash of the folds as they are.
        file: the folds file, for the message.

    Raises:
        ValueError: they differ.
    """
    if before is not None and before != now:
        raise ValueError(
            f"the folds have changed since this run started: {file} has the hash {now}, then it was {before}; the run "
            "would be validated on images it was trained on. Put the old file back (the run has a copy, folds.csv), "
            "or train again: python cli.py fit … --overwrite true"
        )

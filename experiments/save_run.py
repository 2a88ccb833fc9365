"""Save what is needed to reproduce a run when a fit starts."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from experiments.run_folder import RunFolder
from files.writing import write_bytes, write_text

GO_ON = "the same command with --ckpt_path last resumes from the last checkpoint"


class SaveRun(pl.Callback):
    """Write `config.yaml`, `run.json` and a copy of the folds when a fit starts; no other verb touches them.

    Every checkpoint contains the hash of the folds it was trained with.

    Args:
        run: run folder.
        config: resolved config as YAML text.
        facts: commit, command and config hash of the run.
        anew: whether to delete an earlier run in the folder. It is deleted after the new run's classes are built and
            its data are found, so that a typo cannot delete a trained run.
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
            print(
                "\nstopped; " + (GO_ON if kept else "no checkpoint yet; the first is written at the first validation")
            )


def check_folds(before: str | None, now: str | None, file: str | None) -> None:
    """Reject folds that differ from those of the training: the run would be scored on its training images.

    Args:
        before: folds hash in the checkpoint; None if it has none.
        now: hash of the current folds.
        file: folds file, for the error message.

    Raises:
        ValueError: if the hashes differ.
    """
    if before is not None and before != now:
        raise ValueError(
            f"the folds have changed since this run started: {file} has the hash {now}, expected {before}; the run "
            "would be validated on its training images. Restore the old file (copy in the run folder: folds.csv), "
            "or train again: python cli.py fit … --overwrite true"
        )

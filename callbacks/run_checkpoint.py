"""The checkpoints of a run: the best and the last."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_only

from callbacks.stop_signals import is_stop
from compat.lightning import checkpoint_due, save_last

# Keys of the state of Lightning's ModelCheckpoint: paths, and the scores that belong to them.
PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint with `last` from the last validation, and from the step at which a signal stops fit.

    The original saves `last` only together with one of the best, so a run that no longer improves would resume from its
    last improvement after an interruption. A run folder that was moved keeps its best score.

    Attributes:
        every_n_steps: optimizer steps between further saves of `last` (default: None, only at validations).
    """

    every_n_steps: int | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = checkpoint_due(self, trainer, epoch_end=False)
        super().on_validation_end(trainer, pl_module)
        if due and self.save_last:
            save_last(self, trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = checkpoint_due(self, trainer, epoch_end=True)
        super().on_train_epoch_end(trainer, pl_module)
        if due and self.save_last:
            save_last(self, trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0 and self.save_last:
            save_last(self, trainer)  # once, although several batches of accumulated gradients have this step

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        super().on_exception(trainer, pl_module, exception)
        # In a validation the weights may be an average, and the checkpoint before it is recent.
        if is_stop(exception) and trainer.training and self.save_last:
            save_last(self, trainer, again=True)  # there may be gradients since this optimizer step

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(in_folder(state_dict, self.dirpath))


def in_folder(state: dict[str, Any], folder: Path | str | None) -> dict[str, Any]:
    """State of a ModelCheckpoint with its files in another folder, if they are all there.

    Otherwise the best score starts anew, and no file of the former folder is known, or deleted later.
    """
    before = state.get("dirpath")
    if folder is None or before is None or str(before) == str(folder):
        return state
    if Path(before).resolve() == Path(folder).resolve():
        return state | {"dirpath": folder}  # written relative to another working folder

    def moved(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else ""

    files = [moved(path) for path in (state["best_model_path"], *state.get("best_k_models", {})) if path]
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        score = state.get("best_model_score")
        rank_zero_only(print)(
            f"note: the best checkpoint so far{'' if score is None else f' ({float(score):.4f})'} is not in {folder} "
            f"({Path(missing[0]).name} is missing); the best starts anew from this session"
        )
        return {"best_model_path": "", "best_model_score": None, "dirpath": folder}
    found = state | {name: moved(state.get(name, "")) for name in PATHS} | {"dirpath": folder}
    return found | {"best_k_models": {moved(path): score for path, score in state.get("best_k_models", {}).items()}}

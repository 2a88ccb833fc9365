"""Private parts of pytorch-lightning, as they are in 2.6.6, and what it prints. `pyproject.toml` keeps it below 2.7.

Nothing here imports Lightning before it is called: the command line asks for the messages at every start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
    from torch.optim.swa_utils import AveragedModel

# Loggers whose advertisements, hardware that is not looked for, and paths that the next line gives again are left out.
LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_utilities.core.rank_zero")
IGNORED_LOG_PREFIXES = ("💡 Tip", "TPU available: False", "Restoring states from the checkpoint path")
IGNORED_WARNINGS = (
    r"(?s).*isinstance\(treespec, LeafSpec\).* is deprecated",  # its own use of what torch has deprecated
    "Total length of `DataLoader` across ranks is zero",  # all is predicted already
)


def logs_this_step(trainer: "pl.Trainer") -> bool:
    """Whether the loggers get the values of this training step; no public attribute counts the steps as they do."""
    return trainer._logger_connector.should_update_logs


def accumulates(trainer: "pl.Trainer") -> bool:
    """Whether the gradients of this batch wait for those of the next; the public `accumulate_grad_batches` leaves out
    the end of an epoch."""
    return trainer.fit_loop._should_accumulate()


@contextmanager
def nothing_logged(trainer: "pl.Trainer", batch: Any) -> Iterator[None]:
    """What is logged inside is dropped: `log` writes into the results of the loop, whatever step it is called from."""
    from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection

    loop = trainer.fit_loop.epoch_loop
    logged, loop._results = loop._results, _ResultCollection(training=True)
    loop._results.batch = batch
    try:
        yield
    finally:
        loop._results = logged


# --- ModelCheckpoint: when it saves is decided in private methods alone ----------------------------------------------


def checkpoint_due(callback: "ModelCheckpoint", trainer: "pl.Trainer", epoch_end: bool) -> bool:
    """Whether the callback saves now: at the end of a training epoch, or else of a validation."""
    if callback._should_skip_saving_checkpoint(trainer):
        return False
    return bool(callback._should_save_on_train_epoch_end(trainer)) == epoch_end


def save_last(callback: "ModelCheckpoint", trainer: "pl.Trainer") -> None:
    """Write the `last` checkpoint unless this step's is written already."""
    if callback._last_global_step_saved != trainer.global_step:
        callback._save_last_checkpoint(trainer, callback._monitor_candidates(trainer))


# --- WeightAveraging: the average has no public name, nor have its moves ---------------------------------------------


def average_of(callback: "WeightAveraging") -> "AveragedModel | None":
    """The averaged model; None before the fit begins."""
    return callback._average_model


def swap_with_average(callback: "WeightAveraging", module: "pl.LightningModule") -> None:
    """Exchange the module's weights and the averaged ones."""
    callback._swap_models(module)


def take_average(callback: "WeightAveraging", module: "pl.LightningModule") -> None:
    """Copy the averaged weights into the module."""
    callback._copy_average_to_current(module)

"""Private parts and messages of pytorch-lightning 2.6.6. `pyproject.toml` keeps it below 2.7.

Lightning is imported on demand only, as the command line reads the messages at every start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
    from torch.optim.swa_utils import AveragedModel

# Ignored messages: advertisements, unavailable hardware, and paths repeated in the next line.
LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_utilities.core.rank_zero")
IGNORED_LOG_PREFIXES = (
    "💡 Tip",
    "TPU available: False",
    "Restoring states from the checkpoint path",
    "Ignoring `Trainer(max_time",
)
IGNORED_WARNINGS = (
    r"(?s).*isinstance\(treespec, LeafSpec\).* is deprecated",  # Lightning's use of a deprecated torch function
    "Total length of `DataLoader` across ranks is zero",  # everything is predicted already
)


def logs_this_step(trainer: "pl.Trainer") -> bool:
    """Whether loggers receive the values of this training step; no public attribute counts steps as they do."""
    return trainer._logger_connector.should_update_logs


def accumulates(trainer: "pl.Trainer") -> bool:
    """Whether gradients of this batch are accumulated; the public `accumulate_grad_batches` does not cover the end of
    an epoch."""
    return trainer.fit_loop._should_accumulate()


@contextmanager
def nothing_logged(trainer: "pl.Trainer", batch: Any) -> Iterator[None]:
    """Context that drops logged values, as `log` writes into the loop's results from any step."""
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
    """Whether the callback saves now, at the end of a training epoch or of a validation."""
    if callback._should_skip_saving_checkpoint(trainer):
        return False
    return bool(callback._should_save_on_train_epoch_end(trainer)) == epoch_end


def save_last(callback: "ModelCheckpoint", trainer: "pl.Trainer", again: bool = False) -> None:
    """Write the `last` checkpoint unless it is already written at this optimizer step; with `again` also then."""
    if again or callback._last_global_step_saved != trainer.global_step:
        callback._save_last_checkpoint(trainer, callback._monitor_candidates(trainer))


# --- WeightAveraging: the average has no public name, nor have its moves ---------------------------------------------


def average_of(callback: "WeightAveraging") -> "AveragedModel | None":
    """The averaged model; None before the fit starts."""
    return callback._average_model


def swap_with_average(callback: "WeightAveraging", module: "pl.LightningModule") -> None:
    """Swap the module's weights with the averaged weights."""
    callback._swap_models(module)


def take_average(callback: "WeightAveraging", module: "pl.LightningModule") -> None:
    """Copy the averaged weights into the module."""
    callback._copy_average_to_current(module)

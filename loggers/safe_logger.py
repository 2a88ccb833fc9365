"""A logger that can fail, and training goes on."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import DummyExperiment, Logger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.rank_zero import rank_zero_warn


class SafeLogger(Logger):
    """Hand everything on to a logger until it fails; then warn once and be silent. `metrics.csv` has all of it anyway.

    A tracking service that cannot be reached, a full quota or a library of another version are no reason to lose a
    night of training.

    Args:
        logger: any logger of Lightning's kind.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger, self.is_on = logger, True

    def _try(self, what: str, call: Callable[[], Any], otherwise: Any = None) -> Any:
        if not self.is_on:
            return otherwise
        try:
            return call()
        except Exception as error:  # whatever a foreign library raises
            self.is_on = False
            rank_zero_warn(
                f"{type(self.logger).__name__} failed in {what} and is off from now on; training goes on, metrics.csv "
                f"holds everything: {type(error).__name__}: {error}"
            )
            return otherwise

    @property
    def name(self) -> str | None:
        return self._try("name", lambda: self.logger.name)

    @property
    def version(self) -> int | str | None:
        return self._try("version", lambda: self.logger.version)

    @property
    def save_dir(self) -> str | None:
        return self._try("save_dir", lambda: self.logger.save_dir)

    @property
    def group_separator(self) -> str:
        return self.logger.group_separator

    @property
    def experiment(self) -> Any:
        """The library's own run; an object that takes any call and does nothing once the logger is off."""
        return self._try("start", lambda: getattr(self.logger, "experiment", DummyExperiment()), DummyExperiment())

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        # A copy: some loggers take what they know out of the mapping, which the next logger gets as well.
        self._try("log_metrics", lambda: self.logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._try("log_hyperparams", lambda: self.logger.log_hyperparams(params, *args, **kwargs))

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self._try("log_graph", lambda: self.logger.log_graph(model, input_array))

    def save(self) -> None:
        self._try("save", self.logger.save)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        self._try("after_save_checkpoint", lambda: self.logger.after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        self._try("finalize", lambda: self.logger.finalize(status))

    @rank_zero_only
    def log_panel(self, path: Path, step: int) -> None:
        """Show a picture: `log_image` (wandb, our Neptune logger), `add_image` (TensorBoard), an artifact (MLflow).

        Args:
            path: PNG file.
            step: optimizer steps so far.
        """
        self._try("log_panel", lambda: _show(self.logger, path, step))


def _show(logger: Logger, path: Path, step: int) -> None:
    if hasattr(logger, "log_image"):
        logger.log_image("panels", [str(path)], step)
    elif hasattr(getattr(logger, "experiment", None), "add_image"):
        picture = cv2.imread(str(path))[..., ::-1]
        logger.experiment.add_image("panels", picture, step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_artifact(logger.run_id, str(path), f"panels/{step:08d}")

"""A logger whose failure does not stop training."""

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
    """Wraps a logger; when it fails, warns once and switches it off. `metrics.csv` has all values anyway.

    An unreachable tracking service, a full quota or an incompatible library version should not stop a training.

    Args:
        logger: any Lightning logger.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger, self.is_on = logger, True

    def _try(self, what: str, call: Callable[[], Any], otherwise: Any = None) -> Any:
        if not self.is_on:
            return otherwise
        try:
            return call()
        except Exception as error:  # a third-party library may raise anything
            self.is_on = False
            rank_zero_warn(
                f"{type(self.logger).__name__} failed in {what} and is switched off; training continues, metrics.csv "
                f"has all values: {type(error).__name__}: {error}"
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
        """The library's run; a dummy object once the logger is switched off."""
        return self._try("start", lambda: getattr(self.logger, "experiment", DummyExperiment()), DummyExperiment())

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        # A copy: some loggers remove entries from the mapping, which the next logger gets too.
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
        """Log an image: `log_image` (wandb, our Neptune logger), `add_image` (TensorBoard), an artifact (MLflow).

        Args:
            path: path of a PNG file.
            step: optimizer step.
        """
        self._try("log_panel", lambda: _show(self.logger, path, step))


def _show(logger: Logger, path: Path, step: int) -> None:
    if hasattr(logger, "log_image"):
        logger.log_image("panels", [str(path)], step)
    elif hasattr(getattr(logger, "experiment", None), "add_image"):
        image = cv2.imread(str(path))[..., ::-1]
        logger.experiment.add_image("panels", image, step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_artifact(logger.run_id, str(path), f"panels/{step:08d}")

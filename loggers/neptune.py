"""Logger for Neptune, which Lightning 2.6 no longer has."""

import math
from argparse import Namespace
from typing import Any, Literal

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from files.nested import flatten


class NeptuneLogger(Logger):
    """Logs parameters, metrics, images and paths of checkpoints to a run of the `neptune` client (1.x).

    It writes `parameters/<key>`, `metrics/<name>` (a series over optimizer steps), `panels` (images),
    `checkpoints/best`, `checkpoints/best_score`, `checkpoints/last` and `status`. Checkpoints are not uploaded.

    neptune.ai announced in December 2025 that its hosted service ends in March 2026. Offline runs need no service;
    `NEPTUNE_PROJECT` and `NEPTUNE_API_TOKEN` can point to a self-hosted installation.

    Args:
        project: `workspace/name` (default: NEPTUNE_PROJECT).
        mode: `offline` writes to `.neptune/` in the working folder (`neptune sync` uploads it), `async` sends in the
            background, `sync` waits for each value, `debug` discards everything. The default is offline, because most
            competition kernels have no network.
        run_name: name in the table of runs.
        tags: tags of the run.
        run: existing run of the client instead of a new one; only from Python.

    Raises:
        ImportError: the client is not installed.
    """

    def __init__(
        self,
        project: str | None = None,
        mode: Literal["offline", "async", "sync", "debug"] = "offline",
        run_name: str | None = None,
        tags: list[str] | None = None,
        run: Any = None,
    ) -> None:
        super().__init__()
        if run is None:
            import_client()  # fail now, not after the data was read
        self.project, self.mode, self.run_name, self.tags = project, mode, run_name, tags
        self._run = run
        self._steps: dict[str, int] = {}

    @property
    def name(self) -> str | None:
        return self.run_name

    @property
    def version(self) -> str | None:
        return None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The client's run, started at first access."""
        if self._run is None:
            self._run = import_client().init_run(
                project=self.project,
                mode=self.mode,
                name=self.run_name,
                tags=self.tags,
                capture_stdout=False,
                capture_stderr=False,
                capture_hardware_metrics=False,
            )
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log every key of the config; the client supports numbers, strings and bools, so others become strings."""
        nested = vars(params) if isinstance(params, Namespace) else params
        for key, value in flatten(nested).items():
            plain = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
            self.experiment[f"parameters/{key.replace('.', '/')}"] = value if plain else str(value)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append each value to its series.

        The client rejects values that are not finite and repeated steps, so the epoch, which is part of every group of
        values, is logged once per step.
        """
        for name, value in metrics.items():
            last = self._steps.get(name, -1)
            now = last + 1 if step is None else step
            if now > last and math.isfinite(value):
                self.experiment[f"metrics/{name}"].append(float(value), step=now)
                self._steps[name] = now

    @rank_zero_only
    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Append image files to a series.

        Args:
            key: name of the series.
            images: paths of PNG or JPEG files.
            step: optimizer step, written to the name of the image, because several images may have the same step.
        """
        for image in images:
            self.experiment[key].append(image_file(image), name=image if step is None else f"step {step}")

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Log the paths of the best and the last checkpoint, and the score of the best."""
        for name, path in (
            ("best", checkpoint_callback.best_model_path),
            ("last", checkpoint_callback.last_model_path),
        ):
            if path:
                self.experiment[f"checkpoints/{name}"] = str(path)
        score = checkpoint_callback.best_model_score
        if score is not None and math.isfinite(score):
            self.experiment["checkpoints/best_score"] = float(score)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Log the status of the run and close it; pending values have 60 s to be sent."""
        if self._run is None:
            return
        self._run["status"] = status
        self._run.stop(seconds=60)
        self._run = None


def import_client() -> Any:
    """The client's module.

    Raises:
        ImportError: the client is not installed.
    """
    try:
        import neptune
    except ModuleNotFoundError:
        raise ImportError('NeptuneLogger needs the neptune client: pip install -e ".[neptune]"') from None
    return neptune


def image_file(path: str) -> Any:
    """An image file as a type of the client."""
    from neptune.types import File

    return File(path)

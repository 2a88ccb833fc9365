"""Neptune, which Lightning 2.6 has no logger for any more."""

import math
from argparse import Namespace
from typing import Any, Literal

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from files.nested import flatten


class NeptuneLogger(Logger):
    """Parameters, metrics, pictures and the checkpoints' paths into a run of the `neptune` client (1.x).

    Written are `parameters/<key>`, `metrics/<name>` (a series over optimizer steps), `panels` (pictures),
    `checkpoints/best`, `checkpoints/best_score`, `checkpoints/last` and `status`. Checkpoints themselves stay where
    they are.

    neptune.ai said in December 2025 that its hosted service ends in March 2026. Offline runs need no service, and
    `NEPTUNE_PROJECT` and `NEPTUNE_API_TOKEN` lead to an installation of one's own.

    Args:
        project: `workspace/name`; by default that of NEPTUNE_PROJECT.
        mode: `offline` writes to `.neptune/` in the working folder (`neptune sync` uploads it), `async` sends while
            training goes on, `sync` waits for each value, `debug` throws everything away. Offline, as most kernels of
            competitions have no network.
        run_name: shown in the table of runs.
        tags: for finding the run again.
        run: a run of the client, in place of a new one; only from Python.

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
            import_client()  # now, not after the data has been read
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
        """The client's run; begun when it is first asked for."""
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
        """Every key of the config; the client takes numbers, texts and truths, so lists and nulls become texts."""
        nested = vars(params) if isinstance(params, Namespace) else params
        for key, value in flatten(nested).items():
            plain = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
            self.experiment[f"parameters/{key.replace('.', '/')}"] = value if plain else str(value)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append each value to its series. The client refuses what is no finite number, and a step twice: the number of
        the epoch, which comes with every group of values, is written with the first of them."""
        for name, value in metrics.items():
            last = self._steps.get(name, -1)
            now = last + 1 if step is None else step
            if now > last and math.isfinite(value):
                self.experiment[f"metrics/{name}"].append(float(value), step=now)
                self._steps[name] = now

    @rank_zero_only
    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        """Append picture files to a series of pictures.

        Args:
            key: name of the series.
            images: paths of PNG or JPEG files.
            step: optimizer steps so far, in the name of the picture: a series of several in one step has steps of its
                own.
        """
        for image in images:
            self.experiment[key].append(picture_of(image), name=image if step is None else f"step {step}")

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Where the best and the last checkpoint lie, and the score of the best."""
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
        """Note how the run ended and close it; values that are still on their way have a minute."""
        if self._run is None:
            return
        self._run["status"] = status
        self._run.stop(seconds=60)
        self._run = None


def import_client() -> Any:
    """The client's module.

    Raises:
        ImportError: it is not installed; says how.
    """
    try:
        import neptune
    except ModuleNotFoundError:
        raise ImportError('NeptuneLogger needs the neptune client: pip install -e ".[neptune]"') from None
    return neptune


def picture_of(path: str) -> Any:
    """A picture file as the client takes it."""
    from neptune.types import File

    return File(path)

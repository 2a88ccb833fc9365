"""An append-only metrics file, which resuming and validating never overwrite."""

import csv
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only


class MetricsCSV(Logger):
    """Appends every logged value to `metrics.csv`: `time,stage,epoch,step,name,value`, one value per row.

    Lightning's CSVLogger rewrites its file for new columns, and deletes it on resume and on validate.

    Args:
        folder: run folder.
        stage: current command (`fit`, `validate`, …).
    """

    COLUMNS = ("time", "stage", "epoch", "step", "name", "value")

    def __init__(self, folder: Path, stage: str) -> None:
        super().__init__()
        self.path, self.stage = Path(folder) / "metrics.csv", stage

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @property
    def log_dir(self) -> str:
        return str(self.path.parent)

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        metrics = dict(metrics)
        epoch = int(metrics.pop("epoch", -1))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.is_file()
        now = f"{time.time():.3f}"
        with open(self.path, "a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(self.COLUMNS)
            writer.writerows([now, self.stage, epoch, step, name, f"{value:.8g}"] for name, value in metrics.items())

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Not logged: config.yaml in the run folder has them."""

"""The competition's own score, in every validation."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from postprocessing.competition import Competition


def as_arrays(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors of one image as numpy arrays for the offline side."""
    return {name: value.detach().cpu().numpy() for name, value in values.items()}


def truth_of(batch: dict[str, Any], index: int) -> dict[str, np.ndarray]:
    """Every target array of one image of an evaluation batch."""
    return as_arrays({k: v[index] for k, v in batch.items() if k != "image" and isinstance(v[index], Tensor)})


class CompetitionScore(pl.Callback):
    """Post-process every validated image, score it with the competition's metric, log `val/score`.

    The very same chain and metric serve `search`, `score` and `submit`. Further metrics of `competition.report` are
    logged as `val/<name>`. Each image's score goes to `scores.csv` in the run folder.

    Args:
        competition: metric, post-processing and submission of the config.
        folder: run folder for `scores.csv`; None writes none.
    """

    def __init__(self, competition: Competition, folder: Path | None = None) -> None:
        self.competition, self.folder = competition, folder
        self.latest: dict[str, float] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for metric in self.competition.metrics().values():
            metric.reset()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for index, probabilities in enumerate(outputs):
            prediction = self.competition.process(as_arrays(probabilities))
            truth = truth_of(batch, index)
            for metric in self.competition.metrics().values():
                metric.add(batch["image_id"][index], prediction, truth)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.latest = {name: float(metric.compute()) for name, metric in self.competition.metrics().items()}
        for name, value in self.latest.items():
            # Every rank holds the same number, gathered by the metric itself.
            pl_module.log(f"val/{name}", value, prog_bar=True, rank_zero_only=False, sync_dist=False)
        if self.folder is not None and trainer.is_global_zero and not trainer.sanity_checking:
            write_scores(self.folder / "scores.csv", self.competition)

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.latest = {name: float(metric.compute()) for name, metric in self.competition.metrics().items()}
        for name, value in self.latest.items():
            pl_module.log(f"test/{name}", value, sync_dist=False)


def write_scores(path: Path, competition: Competition) -> None:
    """One row per image, worst first: `image_id` and a column per metric."""
    columns = {name: metric.scores() for name, metric in competition.metrics().items()}
    first = next(iter(columns.values()))
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image_id", *columns])
        sign = 1 if competition.metric.higher_is_better else -1
        for image_id in sorted(first, key=lambda name: (sign * first[name], name)):
            writer.writerow([image_id, *(f"{scores[image_id]:.6f}" for scores in columns.values())])
    os.replace(temporary, path)

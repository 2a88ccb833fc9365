"""The competition's own score, in every validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from callbacks.gathered_metric import GatheredMetric
from evaluation.panels import Gallery, as_map, write_panel
from files.writing import write_csv
from submissions.competition import Competition


def as_arrays(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors of one image as numpy arrays for the offline side."""
    return {name: value.detach().cpu().numpy() for name, value in values.items()}


def truth_of(batch: dict[str, Any], index: int) -> dict[str, np.ndarray]:
    """Every target array of one image of an evaluation batch."""
    return as_arrays({k: v[index] for k, v in batch.items() if k != "image" and isinstance(v[index], Tensor)})


class CompetitionScore(pl.Callback):
    """Post-process every validated image, score it with the competition's metric, log `val/score`.

    The very same chain and metric serve `search`, `score` and `submit`. Those of `competition.extra_metrics` are
    logged as `val/<name>`; those that have several classes also for each of them: `val/score_class0`,
    `val/FBeta_class0`, …, and how many of them have a score at all: `val/score_classes`. Each image's score goes to
    `scores.csv` in the run folder, and a few images with truth, prediction and errors to `panels/<epoch>.png` and to
    the loggers that show pictures.

    Args:
        competition: metric, post-processing and submission of the config.
        folder: run folder for `scores.csv` and `panels/`; None writes none.
        panels: images in a panel, half of them always the same, half the worst of this rank; 0 draws none.
    """

    def __init__(self, competition: Competition, folder: Path | None = None, panels: int = 8) -> None:
        self.competition, self.folder, self.panels = competition, folder, panels
        self.metrics = {name: GatheredMetric(metric) for name, metric in competition.metrics().items()}
        self.latest: dict[str, float] = {}
        self.gallery = Gallery(0)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for metric in self.metrics.values():
            metric.reset()
        drawn = self.folder is not None and trainer.is_global_zero and not trainer.sanity_checking
        self.gallery = Gallery(self.panels if drawn else 0, self.competition.metric.higher_is_better)

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
            truth = truth_of(batch, index)
            prediction = self.competition.process(as_arrays(probabilities), truth)
            image_id, metric = batch["image_id"][index], self.competition.metric
            for each in self.metrics.values():
                each.update(image_id, prediction, truth)
            if not self.gallery.count:
                continue
            size = tuple(batch["image"][index].shape[1:])
            shown, true = as_map(prediction.get(metric.output), size), as_map(truth.get(metric.truth), size)
            if shown is not None and true is not None:
                score = metric.image_score(metric.rows[image_id])
                image = batch["image"][index].cpu().numpy()
                self.gallery.add(image_id, score, image, true, shown, truth.get("valid"))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING
        self._finish(
            trainer, pl_module, "val", "scores.csv", f"epoch_{trainer.current_epoch:03d}" if fitting else "val"
        )

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "test", "test_scores.csv", "test")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def _finish(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str, scores: str, panel: str) -> None:
        found = {name: float(metric.compute()) for name, metric in self.metrics.items()}
        if not trainer.sanity_checking:  # two batches before the first step are no result
            self.latest = found
        for name, value in found.items():
            # Every rank holds the same number, of the rows that were gathered.
            module.log(f"{stage}/{name}", value, prog_bar=True, rank_zero_only=False, sync_dist=False)
        for name, metric in self.competition.metrics().items():
            classes = metric.by_class()
            if len(classes) > 1:
                scored = {f"{stage}/{name}_class{number}": value for number, value in enumerate(classes)}
                # A class that this fold does not hold may have no score, and a mean of fewer is another mean.
                scored[f"{stage}/{name}_classes"] = float(np.isfinite(classes).sum())
                module.log_dict(scored, rank_zero_only=False, sync_dist=False)
        if self.folder is None or not trainer.is_global_zero or trainer.sanity_checking:
            return
        write_scores(self.folder / scores, self.competition)
        rows = self.gallery.rows()
        if rows:
            title = f"{panel}   {type(self.competition.metric).__name__} {self.latest['score']:.4f}"
            path = self.folder / "panels" / f"{panel}.png"
            write_panel(path, rows, title)
            for logger in trainer.loggers:
                if hasattr(logger, "log_panel"):
                    logger.log_panel(path, trainer.global_step)


def write_scores(path: Path, competition: Competition) -> None:
    """One row per image, worst first, those without a score last: `image_id` and a column per metric."""
    columns = {name: metric.scores() for name, metric in competition.metrics().items()}
    first = next(iter(columns.values()))
    sign = 1 if competition.metric.higher_is_better else -1
    order = sorted(first, key=lambda name: (np.isnan(first[name]), sign * first[name], name))
    rows = ([name, *(f"{scores[name]:.6f}" for scores in columns.values())] for name in order)
    write_csv(path, ["image_id", *columns], rows)

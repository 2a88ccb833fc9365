"""The competition's score, computed in every validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from callbacks.gathered_metric import GatheredMetric
from evaluation.gallery import Gallery
from evaluation.panels import drawable, probability_map, write_panel
from files.writing import write_csv
from submissions.competition import Competition


def as_arrays(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors of one image as numpy arrays."""
    return {name: value.detach().cpu().numpy() for name, value in values.items()}


def target_arrays(batch: dict[str, Any], index: int) -> dict[str, np.ndarray]:
    """All target arrays of one image of an evaluation batch."""
    return as_arrays({k: v[index] for k, v in batch.items() if k != "image" and isinstance(v[index], Tensor)})


class CompetitionScore(pl.Callback):
    """Post-processes every validated image, scores it with the competition's metric, and logs `val/score`.

    `search`, `score` and `submit` use the same chain and metric. The metrics of `competition.extra_metrics` are logged
    as `val/<name>`. Metrics of several classes are also logged per class by the class names of the data, as
    `val/score_road`, or else by number, as `val/score_class0`, with the number of classes that have a score,
    `val/score_classes`. Names of `monitor` may be either. The score of each image is written to
    `scores.csv` in the run folder, and some images with target, prediction and errors to `panels/<epoch>.png` and to
    loggers that support images.

    Args:
        competition: metric, post-processing and submission of the config.
        folder: run folder for `scores.csv` and `panels/`; None to write neither.
        panels: number of images in a panel, half of them fixed, half the worst of this rank (of its worse half);
            0 for no panels.
    """

    def __init__(self, competition: Competition, folder: Path | None = None, panels: int = 8) -> None:
        self.competition, self.folder, self.panels = competition, folder, panels
        self.metrics = {name: GatheredMetric(metric) for name, metric in competition.metrics().items()}
        self.latest: dict[str, float] = {}
        self.gallery = Gallery(0)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        data, submission = getattr(trainer, "datamodule", None), self.competition.submission
        if data is not None and submission is not None and submission.lacks_classes():
            submission.take_classes(data.class_names)  # an error now rather than after training

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
            targets, raw = target_arrays(batch, index), as_arrays(probabilities)
            prediction = self.competition.process(raw, targets)
            image_id, metric = batch["image_id"][index], self.competition.metric
            for each in self.metrics.values():
                each.update(image_id, prediction, targets)
            if not self.gallery.count:
                continue
            size = tuple(batch["image"][index].shape[1:])
            shown, true = drawable(prediction, metric.output, size), drawable(targets, metric.target, size)
            if shown is not None and true is not None:
                score = metric.image_score(metric.rows[image_id])
                image, likely = batch["image"][index].cpu().numpy(), probability_map(raw, metric.output, size)
                self.gallery.add(image_id, score, image, true, shown, targets.get("valid"), likely)

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
        if not trainer.sanity_checking:  # not a result: two batches before the first step
            self.latest = found
        for name, value in found.items():
            # Every rank has the same value, from the gathered rows.
            module.log(f"{stage}/{name}", value, prog_bar=True, rank_zero_only=False, sync_dist=False)
        for name, metric in self.competition.metrics().items():
            classes = metric.by_class()
            if len(classes) > 1:
                numbered = [f"class{number}" for number in range(len(classes))]
                named = class_labels(trainer, len(classes)) or numbered
                scored = {f"{stage}/{name}_{each}": value for each, value in zip(named, classes, strict=True)}
                # A class missing in this fold may have no score, which changes the meaning of the mean.
                scored[f"{stage}/{name}_classes"] = float(np.isfinite(classes).sum())
                module.log_dict(scored, rank_zero_only=False, sync_dist=False)
                pairs = zip(numbered, classes, strict=True)
                scored = {f"{stage}/{name}_{each}": value for each, value in pairs if each not in named}
                module.log_dict(scored, rank_zero_only=False, sync_dist=False, logger=False)  # for monitors
        if self.folder is None or not trainer.is_global_zero or trainer.sanity_checking:
            return
        write_scores(self.folder / scores, self.competition)
        rows = self.gallery.rows()
        if rows:
            title = f"{panel}   {type(self.competition.metric).__name__} {self.latest['score']:.4f}"
            path = self.folder / "panels" / f"{panel}.png"
            write_panel(path, rows, title, class_names(trainer))
            for logger in trainer.loggers:
                if hasattr(logger, "log_panel"):
                    logger.log_panel(path, trainer.global_step)


def class_names(trainer: pl.Trainer) -> list[str]:
    """The class names of the data; empty if they are unknown."""
    return getattr(getattr(trainer, "datamodule", None), "class_names", None) or []


def class_labels(trainer: pl.Trainer, count: int) -> list[str] | None:
    """The class names of the data as parts of names in logs; None if they are unknown or not so many."""
    names = class_names(trainer)
    return [name.replace("/", "_") for name in names] if len(names) == count else None


def write_scores(path: Path, competition: Competition) -> None:
    """Write one row per image, worst first, images without a score last: `image_id` and one column per metric."""
    columns = {name: metric.scores() for name, metric in competition.metrics().items()}
    first = next(iter(columns.values()))
    sign = 1 if competition.metric.higher_is_better else -1
    order = sorted(first, key=lambda name: (np.isnan(first[name]), sign * first[name], name))
    rows = ([name, *(f"{scores[name]:.6f}" for scores in columns.values())] for name in order)
    write_csv(path, ["image_id", *columns], rows)


truth_of = target_arrays  # its former name, for one release

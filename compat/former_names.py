"""Former module names from before folders moved; YAML and code of forks keep working for one release.

A class path such as `postprocessing.submissions.RunLengths` is imported under its new name, with a warning.
"""

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "datamodules.truth": "datamodules.target_sources",
    "ensembling.squares": "ensembling.least_squares",
    "evaluation.divide": "evaluation.splits",
    "evaluation.mask_runs": "masks.run_length_masks",
    "experiments.loggers": "loggers.choose",
    "experiments.metrics_csv": "loggers.metrics_csv",
    "experiments.neptune_logger": "loggers.neptune",
    "experiments.safe_logger": "loggers.safe_logger",
    "experiments.wandb_mode": "loggers.wandb_mode",
    "experiments.proposals": "experiments.trial_proposals",
    "experiments.sending": "experiments.kaggle_client",
    "experiments.space": "experiments.search_space",
    "exploration.charts": "reports.charts",
    "exploration.comparison_sections": "reports.dataset.comparisons",
    "exploration.explore": "reports.dataset.explore",
    "exploration.image_sections": "reports.dataset.images",
    "exploration.pictures": "reports.pictures",
    "exploration.report": "reports.page",
    "exploration.truth_sections": "reports.dataset.targets",
    "postprocessing.box_views": "inference.box_views",
    "postprocessing.boxes": "masks.boxes",
    "postprocessing.coarse": "inference.coarse",
    "postprocessing.coco_rle": "masks.coco_rle",
    "postprocessing.competition": "submissions.competition",
    "postprocessing.edge_tiles": "inference.edge_tiles",
    "postprocessing.grid": "inference.grid",
    "postprocessing.inference": "inference",
    "postprocessing.prediction_file": "predictions.entry",
    "postprocessing.predictions": "predictions.store",
    "postprocessing.random_crops": "inference.random_crops",
    "postprocessing.rle": "masks.rle",
    "postprocessing.set_step": "postprocessing.dataset_step",
    "postprocessing.shards": "postprocessing.search_workers",
    "postprocessing.strips": "inference.strips",
    "postprocessing.submissions": "submissions",
    "postprocessing.submissions.base": "submissions.base",
    "postprocessing.submissions.boxes": "submissions.boxes",
    "postprocessing.submissions.cells": "submissions.cells",
    "postprocessing.submissions.class_columns": "submissions.class_columns",
    "postprocessing.submissions.class_polygons": "submissions.class_polygons",
    "postprocessing.submissions.class_rows": "submissions.class_rows",
    "postprocessing.submissions.class_run_lengths": "submissions.class_run_lengths",
    "postprocessing.submissions.geotiffs": "submissions.geotiffs",
    "postprocessing.submissions.instance_run_lengths": "submissions.instance_run_lengths",
    "postprocessing.submissions.labels": "submissions.labels",
    "postprocessing.submissions.ordinal": "submissions.ordinal",
    "postprocessing.submissions.outlines": "masks.outlines",
    "postprocessing.submissions.points": "submissions.points",
    "postprocessing.submissions.polygons": "submissions.polygons",
    "postprocessing.submissions.run_lengths": "submissions.run_lengths",
    "postprocessing.tiles": "inference.tiles",
    "postprocessing.tta": "inference.tta",
    "postprocessing.volume_tiles": "inference.volume_tiles",
    "preprocessing.csv_files": "files.tables",
    "preprocessing.files": "files.paths",
    "preprocessing.ids": "masks.ids",
    "preprocessing.pictures": "files.png",
    "preprocessing.polygons": "masks.polygons",
    "preprocessing.text_files": "files.texts",
    "preprocessing.void": "masks.void",
    "reporting": "reports.experiment",
    "reporting.quantities": "reports.experiment.quantities",
    "reporting.reliability": "reports.experiment.reliability",
    "reporting.sanity": "reports.experiment.sanity",
    "reporting.sections": "reports.experiment.sections",
    "reporting.steps": "postprocessing.ablation",
    "stacking": "ensembling.stacking",
    "stacking.case_table": "ensembling.stacking.case_table",
    "stacking.cross_fit": "ensembling.stacking.cross_fit",
    "stacking.features": "ensembling.stacking.features",
    "stacking.models": "ensembling.stacking.models",
    "stacking.object_features": "ensembling.stacking.object_features",
    "stacking.objects": "ensembling.stacking.objects",
    "stacking.top_k": "ensembling.stacking.top_k",
}


class _Former(ModuleType):
    """A module that forwards attributes to its successor."""

    def __init__(self, name: str, successor: str) -> None:
        super().__init__(name, f"Former name of `{successor}`.")
        self.__path__: list[str] = []  # so that `import former.part` uses the finder below
        self.__dict__["successor"] = successor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(importlib.import_module(self.successor), name)
        warnings.warn(
            f"{self.__name__}.{name} is now {self.successor}.{name}; the former name goes with the next release",
            FutureWarning,
            stacklevel=2,
        )
        return found


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Former(spec.name, MODULES[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: attributes are looked up on access."""


def accept_former_names() -> None:
    """Allow imports of former modules; called by the command line and by packages whose modules moved."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # Inserted first: a folder with only __pycache__ after a merge would be found as a package.
        sys.meta_path.insert(0, _Finder())

"""The parts of a config that offline verbs need."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.plain import BaseData
from evaluation.cross_validation import CrossValidation
from experiments.run_folder import RunFolder, fold_name
from experiments.searched import Origin
from submissions.competition import Competition


@dataclass
class OfflineConfig:
    """The parts of a config that the offline verbs need, instantiated.

    Args:
        experiment: folder of the experiment, `runs/<experiment>`.
        data: the images as a plain class, or as a datamodule that nobody has set up yet.
        competition: metric, chain and submission, after `searched.yaml` where the experiment has one.
        cv: settings of the folds.
        runs: the trained runs of the experiment; empty before the first `fit`.
        options: the verb's own flags.
        origin: the configured chain and metric, without `searched.yaml`.
    """

    experiment: Path
    data: BaseData
    competition: Competition
    cv: CrossValidation
    runs: list[RunFolder]
    options: Any
    origin: Origin


def experiment_folder(folder: Path) -> Path:
    """The experiment of a run folder, or the folder itself."""
    return folder.parent if (folder / "config.yaml").is_file() else folder


def run_folder(config: OfflineConfig) -> RunFolder:
    """The run folder of the config's own fold."""
    return RunFolder(config.experiment / fold_name(config.data.fold))

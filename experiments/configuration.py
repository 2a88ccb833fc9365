"""Config sections used by offline verbs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.plain import BaseData
from evaluation.cross_validation import CrossValidation
from experiments.run_folder import RunFolder, fold_name
from experiments.searched import Origin
from submissions.base import Submission
from submissions.competition import Competition


@dataclass
class OfflineConfig:
    """Instantiated config sections used by offline verbs.

    Args:
        experiment: folder of the experiment, `runs/<experiment>`.
        data: plain data class, or a datamodule that is not set up yet.
        competition: metric, post-processing and submission, with `searched.yaml` applied if it exists.
        cv: cross-validation settings.
        runs: trained runs of the experiment; empty before the first `fit`.
        options: options of the verb.
        origin: configured post-processing and metric, without `searched.yaml`.
    """

    experiment: Path
    data: BaseData
    competition: Competition
    cv: CrossValidation
    runs: list[RunFolder]
    options: Any
    origin: Origin

    def submission(self) -> Submission:
        """Submission format of the competition, by default with the class names of the data.

        Raises:
            ValueError: if there is none, or it needs class names and the data has none.
        """
        submission = self.competition.submission
        if submission is None:
            raise ValueError("the config has no competition.submission; set the class of the submission format")
        if submission.lacks_classes():
            submission.take_classes(self.data.class_names)
        return submission


def experiment_folder(folder: Path) -> Path:
    """Experiment folder of a run folder, or the folder itself."""
    return folder.parent if (folder / "config.yaml").is_file() else folder


def run_folder(config: OfflineConfig) -> RunFolder:
    """Run folder of the fold in the config."""
    return RunFolder(config.experiment / fold_name(config.data.fold))

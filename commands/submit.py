"""The verb `submit`: write the submission file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commands.command_line.config import read_config
from experiments.fold_stores import Missing, open_store
from experiments.kaggle_client import send
from experiments.stored_predictions import test_predictions
from files.paths import file_hash
from postprocessing.constant import constant_value
from submissions.base import Submission


@dataclass
class Options:
    """Options of `submit`.

    Args:
        output: Output file or, for formats with a file per image, a folder or .zip; by default,
            <runs>/<experiment>/submission with the ending of the format.
        message: Submission message; if given, the kaggle client submits the checked file to `competition.slug`.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    output: str | None = None
    message: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Post-process the test predictions (mean over folds), write and check the submission, and optionally send it."""
    config = read_config("submit", arguments, Options, folds=True)
    if config.competition.submission is None:
        raise SystemExit("error: the config has no competition.submission; set the class of the submission format")
    message = config.options.message
    if message is not None and not message.strip():
        raise SystemExit("error: --message is empty; describe the submission, or remove the flag to send nothing")
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    config.data.prepare_data()
    submission = config.submission()
    stores = [open_store(config.data, run, "test") for run in config.runs]
    if len(stores) > 1 and not submission.blended:
        raise SystemExit(
            f"error: {type(submission).__name__} takes lists of objects, which cannot be "
            f"averaged over {len(stores)} folds; submit the folder of one fold, or merge boxes first: "
            f"python cli.py ensemble {config.experiment} --boxes '[boxes]' --output runs/merged"
        )
    output = Path(config.options.output or config.experiment / submission.file_name)
    sample = config.data.sample_submission_path()
    constant = ConstantPredictions(submission)
    rows = (
        (image_id, constant.counted(config.competition.process(entry)))
        for image_id, entry in test_predictions(config, stores)
    )
    submission.begin(output, config.data.split_table("test"))
    limit = config.competition.max_file_size
    submission.write(rows, output, sample, config.data.sizes("test"), limit)
    folds_text = f"mean of {len(stores)} folds" if len(stores) > 1 else config.runs[0].path.name
    print(f"{output}: {len(stores[0].ids())} images, {folds_text}, {submission.bytes_of(output) / 1e6:.1f} MB")
    checked = f"checked against {sample}" if sample is not None else "not checked: data.sample_submission is not set"
    print(f"{checked}{shown_hash(output)}")
    for line in constant.lines():
        print(line)
    if message is not None:
        print(send(output, config.competition.slug, message))


class ConstantPredictions:
    """Counts predictions that are empty or full.

    Args:
        submission: submission format, whose `output` names the prediction.
    """

    def __init__(self, submission: Submission) -> None:
        self.output = getattr(submission, "output", None)
        self.images = 0
        self.found = Counter[str]()

    def counted(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Count the prediction of an image and return it."""
        self.images += 1
        array = prediction.get(self.output) if self.output is not None else None
        value = None if array is None else constant_value(array)
        if value is not None:
            self.found[value] += 1
        return prediction

    def lines(self) -> list[str]:
        """A line for the empty and one for the full predictions, if there are such."""
        return [
            ("warning: " if count == self.images else "") + f"{count} of {self.images} predictions are {value}"
            for value, count in sorted(self.found.items())
        ]


def shown_hash(output: Path) -> str:
    """Hash of a submission for the terminal; none of a folder."""
    return f"; sha256 {file_hash(output)}" if output.is_file() else ""

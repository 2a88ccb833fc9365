"""The verb `submit`."""

from dataclasses import dataclass
from pathlib import Path

from commands.command_line.config import read_config
from experiments.fold_stores import Missing, open_store
from experiments.sending import send
from experiments.stored_predictions import test_predictions
from files.paths import file_hash


@dataclass
class Options:
    """Options of `submit`.

    Args:
        output: CSV to write; null: <runs>/<experiment>/submission.csv.
        message: Description with which the checked file is sent to `competition.slug` by the kaggle client; null sends
            nothing.
        missing: Whether to refuse or to skip folds of the folds file without a run.
    """

    output: str | None = None
    message: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Post-process the test predictions (averaged over folds), write the checked submission, send it where asked to."""
    config = read_config("submit", arguments, Options, folds=True)
    if config.competition.submission is None:
        raise SystemExit("error: the config has no competition.submission; name the format's class there")
    message = config.options.message
    if message is not None and not message.strip():
        raise SystemExit("error: --message is empty; say what the submission is, or leave the flag out to send nothing")
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    config.data.prepare_data()
    stores = [open_store(config.data, run, "test") for run in config.runs]
    if len(stores) > 1 and not config.competition.submission.blended:
        raise SystemExit(
            f"error: {type(config.competition.submission).__name__} takes lists of objects, and those of {len(stores)} "
            f"folds have no mean; submit one fold's folder, or merge boxes first: python cli.py ensemble "
            f"{config.experiment} --boxes '[boxes]' --output runs/merged"
        )
    output = Path(config.options.output or config.experiment / "submission.csv")
    sample = config.data.sample_submission_path()
    rows = ((image_id, config.competition.process(entry)) for image_id, entry in test_predictions(config, stores))
    config.competition.submission.begin(output, config.data.split_table("test"))
    limit = config.competition.max_file_size
    config.competition.submission.write(rows, output, sample, config.data.sizes("test"), limit)
    folds_text = f"mean of {len(stores)} folds" if len(stores) > 1 else config.runs[0].path.name
    print(f"{output}: {len(stores[0].ids())} images, {folds_text}, {output.stat().st_size / 1e6:.1f} MB")
    checked = f"checked against {sample}" if sample is not None else "not checked: data.sample_submission is not set"
    print(f"{checked}; sha256 {file_hash(output)}")
    if message is not None:
        print(send(output, config.competition.slug, message))

"""The verb `score`: score out-of-fold predictions or a submission file."""

from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from evaluation.interval import bootstrap_interval
from experiments.configuration import OfflineConfig
from experiments.fold_stores import Missing
from experiments.searched import is_tuned
from experiments.stored_predictions import out_of_fold


@dataclass
class Options:
    """Options of `score`.

    Args:
        submission_file: Submission (a file, or a folder of files) to score instead of out-of-fold predictions; needs
            a solution.
        solution: Ground truth in submission format; by default, `competition.solution`.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    submission_file: str | None = None
    solution: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Score out-of-fold predictions, or a submission file against a solution file."""
    line = CommandLine.read(arguments)
    paths, settings = line.paths, line.settings
    if paths and is_submission(Path(paths[0])):
        paths, settings = paths[1:], settings.with_flags({"submission_file": paths[0]})
    of_file = any(flag.key == "submission_file" for flag in settings.flags)
    arguments = [*paths, *settings.arguments()]
    config = read_config("score", arguments, Options, "(RUN_FOLDER | FILE --config FILE)", folds=not of_file)
    metrics = config.competition.metrics()
    if config.options.submission_file:
        what = score_file(config, metrics)
    else:
        what = f"{config.experiment} out of fold"
        for case in out_of_fold(config):
            target = case.targets()
            prediction = config.competition.process(case.prediction(), target)
            for metric in metrics.values():
                metric.add(case.image_id, prediction, target)
    for name, metric in metrics.items():
        low, high = bootstrap_interval(metric)
        label = f"{name} ({type(metric).__name__})" if name == "score" else name
        print(f"{what}: {label} {float(metric.compute()):.4f}  [{low:.4f}, {high:.4f}] over {len(metric.rows)} images")
    if not config.options.submission_file and is_tuned(config.experiment, config.runs[0]):
        print("optimistic: post-processing was tuned on these images; `search` prints the cross-fitted score")


def is_submission(path: Path) -> bool:
    """Whether a path is a submission: a file, or a folder without runs."""
    if path.suffix in (".csv", ".json", ".zip"):
        return True
    return path.is_dir() and not (path / "config.yaml").is_file() and not any(path.glob("*/config.yaml"))


def score_file(config: OfflineConfig, metrics: dict) -> str:
    """Update the metrics from a submission and a solution file; return the scored file."""
    solution = config.options.solution or config.competition.solution
    if solution is None or config.competition.submission is None:
        raise SystemExit("error: scoring a file needs competition.submission and --solution FILE")
    solution = solution if Path(solution).exists() else str(Path(config.data.root) / solution)
    config.data.prepare_data()
    submission, sizes = config.submission(), config.data.sizes("test")
    file = Path(config.options.submission_file)
    submission.begin(file, config.data.split_table("test"))
    submission.keys_of(file)  # a file that the competition would reject is not scored
    predictions = submission.read(file, sizes)
    targets = submission.read(Path(solution), sizes)
    lacking = [image_id for image_id in targets if image_id not in predictions]
    if lacking:
        raise SystemExit(
            f"error: {file} has no row for {len(lacking)} of {len(targets)} images of {solution}, first {lacking[0]!r}"
        )
    for image_id, target in targets.items():
        for metric in metrics.values():
            metric.add(image_id, predictions[image_id], target)
    return str(file)

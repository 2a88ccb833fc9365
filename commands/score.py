"""The verb `score`."""

from pathlib import Path
from typing import Any

from commands.command_line.config import read_config
from evaluation.interval import bootstrap_interval
from experiments.configuration import OfflineConfig
from experiments.stored_predictions import out_of_fold
from experiments.yaml_files import read_yaml


def main(arguments: list[str]) -> None:
    """Score out-of-fold predictions, or a submission file against a solution file."""

    def options(parser: Any) -> None:
        parser.add_argument("--submission_file", type=str | None, default=None, help="CSV to score; needs a solution.")
        parser.add_argument("--solution", type=str | None, default=None, help="Truth in the submission's format.")

    if arguments and arguments[0].endswith(".csv"):
        arguments = [*arguments[1:], "--submission_file", arguments[0]]
    config = read_config("score", arguments, options, folds=not any(map(names_file, arguments)))
    metrics = config.competition.metrics()
    if config.options.submission_file:
        what = score_file(config, metrics)
    else:
        what = f"{config.experiment} out of fold"
        for case in out_of_fold(config):
            truth = case.truth()
            prediction = config.competition.process(case.prediction(), truth)
            for metric in metrics.values():
                metric.add(case.image_id, prediction, truth)
    for name, metric in metrics.items():
        low, high = bootstrap_interval(metric)
        label = f"{name} ({type(metric).__name__})" if name == "score" else name
        print(f"{what}: {label} {float(metric.compute()):.4f}  [{low:.4f}, {high:.4f}] over {len(metric.rows)} images")
    if not config.options.submission_file and tuned(config):
        print("too good: the chain of searched.yaml was tuned on these images; `search` prints the cross-fitted score")


def names_file(argument: str) -> bool:
    """Whether an argument of `score` names a submission file, which needs no fold."""
    return argument.split("=")[0] == "--submission_file"


def tuned(config: OfflineConfig) -> bool:
    """Whether `search` has changed the configured chain of the experiment."""
    searched, run = config.experiment / "searched.yaml", config.runs[0].config
    if not searched.is_file():
        return False
    found, configured = (read_yaml(path)["competition"]["postprocess"] for path in (searched, run))
    return found != configured


def score_file(config: OfflineConfig, metrics: dict) -> str:
    """Fill the metrics from a submission and a solution file; returns what was scored."""
    solution = config.options.solution or config.competition.solution
    if solution is None or config.competition.submission is None:
        raise SystemExit("error: scoring a file needs competition.submission and --solution FILE")
    solution = solution if Path(solution).is_file() else str(Path(config.data.root) / solution)
    config.data.prepare_data()
    sizes = config.data.sizes("test")
    file = Path(config.options.submission_file)
    config.competition.submission.keys_of(file)  # what the competition would refuse has no score here either
    predictions = config.competition.submission.read(file, sizes)
    truths = config.competition.submission.read(Path(solution), sizes)
    lacking = [image_id for image_id in truths if image_id not in predictions]
    if lacking:
        raise SystemExit(
            f"error: {file} has no row for {len(lacking)} of {len(truths)} images of {solution}; the first is "
            f"{lacking[0]!r}"
        )
    for image_id, truth in truths.items():
        for metric in metrics.values():
            metric.add(image_id, predictions[image_id], truth)
    return str(file)

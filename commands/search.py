"""The verb `search`: tune the post-processing on out-of-fold predictions."""

from dataclasses import dataclass

from commands.command_line.config import read_config
from experiments.curves import draw_search
from experiments.fold_stores import Missing
from experiments.searched import write_searched
from experiments.stored_predictions import out_of_fold
from postprocessing.search import search


@dataclass
class Options:
    """Options of `search`.

    Args:
        sweeps: Number of rounds over all parameters.
        processes: Number of worker processes; by default, one per CPU.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    sweeps: int = 2
    processes: int | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Tune the post-processing on out-of-fold predictions and write `searched.yaml`."""
    config = read_config("search", arguments, Options, searched=False, folds=True)
    images = out_of_fold(config)
    result = search(
        config.competition.postprocess,
        config.competition.metric,
        images,
        sweeps=config.options.sweeps,
        processes=config.options.processes,
    )
    path = write_searched(config.experiment, result, config.origin, config.runs)
    plot = config.experiment / "search.png"
    drawn = draw_search(result, plot)
    print(result.summary())
    curves = f"curves: {plot}" if drawn else "no parameter changes the score"
    print(f"post-processing for later verbs: {path}; {curves}")
    print(f"next:  python cli.py submit {config.experiment}")

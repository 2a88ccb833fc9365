"""The verb `search`."""

from typing import Any

from commands.command_line.config import read_config
from experiments.curves import draw_search
from experiments.searched import write_searched
from experiments.stored_predictions import out_of_fold
from postprocessing.search import search


def main(arguments: list[str]) -> None:
    """Tune the post-processing chain on out-of-fold predictions and write `searched.yaml`."""

    def options(parser: Any) -> None:
        parser.add_argument("--sweeps", type=int, default=2, help="Rounds over all parameters.")
        parser.add_argument("--processes", type=int | None, default=None, help="Worker processes; one per CPU.")

    config = read_config("search", arguments, options, searched=False, folds=True)
    images = out_of_fold(config)
    result = search(
        config.competition.postprocess,
        config.competition.metric,
        images,
        sweeps=config.options.sweeps,
        processes=config.options.processes,
    )
    path = write_searched(config.experiment, result, config.origin, config.runs)
    draw_search(result, config.experiment / "search.png")
    print(result.summary())
    print(f"the chain for later verbs: {path}; curves: {config.experiment / 'search.png'}")
    print(f"next:  python cli.py submit {config.experiment}")

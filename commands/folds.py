"""The verb `folds`."""

from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from evaluation.folds import make_folds, write_folds


@dataclass
class Options:
    """Options of `folds`.

    Args:
        overwrite: Replace a folds file that is there.
    """

    overwrite: bool = False


def main(arguments: list[str]) -> None:
    """Write the folds file of a config."""
    config = read_config("folds", arguments, Options, "--config FILE")
    path = Path(config.data.folds)
    if path.is_file() and not config.options.overwrite:
        raise SystemExit(
            f"error: {path} exists, and runs may depend on it; --overwrite true replaces it, "
            "--data.folds OTHER.csv writes another"
        )
    config.data.prepare_data()
    table = config.data.fold_table(config.cv)
    result = make_folds(table, config.cv)
    write_folds(result, path)
    held = result[result["fold"] >= 0]
    sizes = held.groupby("fold").size()
    print(f"{len(held)} of {len(result)} images in {len(sizes)} folds of {sizes.min()} to {sizes.max()}: {path}")
    grouped = len(result) - result["group"].nunique()
    if grouped:
        print(f"{grouped} images share a group or equal pixels with another and stay in its fold")
    # Leave of this line to replace the folds file must not become that of `fit` to replace a run.
    print(f"next:  python cli.py fit {' '.join(CommandLine.read(arguments).settings.without('overwrite').arguments())}")

"""The verb `folds`: write the folds file."""

from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from evaluation.folds import make_folds, write_folds


@dataclass
class Options:
    """Options of `folds`.

    Args:
        overwrite: Whether to replace an existing folds file.
    """

    overwrite: bool = False


def main(arguments: list[str]) -> None:
    """Write the folds file of a config."""
    config = read_config("folds", arguments, Options, "--config FILE")
    path = Path(config.data.folds)
    if path.is_file() and not config.options.overwrite:
        raise SystemExit(
            f"error: {path} exists and runs may depend on it; set --overwrite true to replace it, or "
            "--data.folds OTHER.csv to write another file"
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
        print(f"{grouped} images share a group or pixel values with another image and are in the same fold")
    # `--overwrite` for the folds file must not make `fit` overwrite a run.
    print(f"next:  python cli.py fit {' '.join(CommandLine.read(arguments).settings.without('overwrite').arguments())}")

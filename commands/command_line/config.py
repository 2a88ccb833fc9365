"""Configs for the offline verbs: data, competition, folds; the rest of the file is left alone."""

from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile

from commands.command_line.training import Parser, add_experiment_arguments
from compat.jsonargparse import own_words
from datamodules import BaseDataModule
from experiments.arguments import check_order, config_files, experiment_name, without_configs
from experiments.configuration import OfflineConfig, experiment_folder
from experiments.fold_stores import add_missing, check_folds_there
from experiments.run_folder import fold_runs
from experiments.searched import check_searched, origin_of
from experiments.yaml_files import read_yaml
from files.writing import to_yaml

# An untyped rest would build the network, and `LightningCLI(run=False)` refuses a saved config.
KEPT = ("experiment", "runs", "run_folder", "data", "competition", "cv")
# For the help text: what follows a verb that takes something else than one config or one run.
TAKES = {
    "ensemble": "RUN RUN …",
    "stack": "RUN …",
    "folds": "--config FILE",
    "score": "(RUN_FOLDER | CSV --config FILE)",
}


def kept_text(path: Path) -> str:
    """The kept keys of a YAML file, as YAML."""
    if not path.is_file():
        raise SystemExit(f"error: no config file {path}")
    content = read_yaml(path)
    return to_yaml({key: value for key, value in content.items() if key in KEPT})


def read_config(
    verb: str, arguments: list[str], add_options: Any, searched: bool = True, folds: bool = False
) -> OfflineConfig:
    """Parse an offline verb's command line: a run or experiment folder, or `--config` files, then flags.

    Args:
        verb: for the help text.
        arguments: what follows the verb.
        add_options: called with the parser to add the verb's own arguments.
        searched: whether `searched.yaml` of the experiment overrides the configured post-processing.
        folds: whether the verb reads what all folds have predicted; adds `--missing`.

    Raises:
        SystemExit: wrong arguments, a searched chain that is not that of the config, or, with `folds`, an experiment
            that lacks some of its folds.
    """
    check_order(arguments)
    takes = TAKES.get(verb, "(--config FILE | RUN_FOLDER)")
    usage = f"python cli.py {verb} {takes} [--key value …]"
    parser = Parser(prog=f"python cli.py {verb}", usage=usage, description=None)
    parser.add_argument("--config", "-c", action=ActionConfigFile, help="Config file; later ones override.")
    parser.add_subclass_arguments(BaseDataModule, "data", required=True)
    add_experiment_arguments(parser)
    add_options(parser)
    if folds:
        add_missing(parser)

    folder: Path | None = None
    if arguments and not arguments[0].startswith("-"):
        folder, arguments = Path(arguments[0]), arguments[1:]
        if not folder.is_dir():
            raise SystemExit(f"error: {folder} is no folder; give a run or experiment folder, or --config FILE")
    files = config_files(arguments)
    flags = without_configs(arguments)
    runs = fold_runs(folder) if folder is not None else []
    if folder is not None and not files:
        files = [runs[0].config]
    texts = [kept_text(file) for file in files]
    parsed = parser.parse_args([part for text in texts for part in ("--config", text)] + flags)
    origin = origin_of(parsed.competition)
    overlay = None if folder is None else experiment_folder(folder) / "searched.yaml"
    if searched and overlay is not None and overlay.is_file() and not any(map(sets_chain, flags)):
        check_searched(overlay, origin, runs)
        texts.append(kept_text(overlay))
        parsed = parser.parse_args([part for text in texts for part in ("--config", text)] + flags)
    with own_words():
        built = parser.instantiate_classes(parsed)
    name = built.experiment or experiment_name(arguments)
    experiment = experiment_folder(folder) if folder is not None else Path(built.runs) / name
    data = built.data
    if data.folds is None:
        data.folds = f"folds/{experiment_name(arguments)}.csv"
    if not runs and any(experiment.glob("*/config.yaml")):
        runs = fold_runs(experiment)
    if folds and (folder is None or folder == experiment):  # not for one that was named
        try:
            check_folds_there(experiment, runs, built.missing)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
    return OfflineConfig(experiment, data, built.competition, built.cv, runs, built, origin)


def sets_chain(flag: str) -> bool:
    """Whether a flag gives the chain of each image, which a searched one would not override."""
    return flag.startswith("--competition.postprocess")

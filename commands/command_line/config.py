"""Configs of offline verbs: data, competition and folds; other keys are ignored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, Namespace

from commands.command_line.command_line import CommandLine
from commands.command_line.fit_config import check_names
from commands.command_line.parser import VerbParser, add_experiment_arguments, add_options, build_options, repeated
from commands.command_line.plain_data import plain_data
from compat.jsonargparse import unwrap_parser_errors
from datamodules.plain import BaseData
from experiments.configuration import OfflineConfig, experiment_folder
from experiments.fit_settings import OFFLINE, Flag
from experiments.fold_stores import check_folds_there
from experiments.overriding_classes import without_replaced
from experiments.run_folder import fold_runs
from experiments.searched import check_searched, origin_of
from experiments.yaml_files import read_yaml
from files.writing import to_yaml

# Parsing all keys would build the network, and `LightningCLI(run=False)` rejects a saved config.
KEPT = (*OFFLINE, "run_folder")


def read_config(
    verb: str,
    arguments: list[str],
    options: type | None = None,
    takes: str = "(--config FILE | RUN_FOLDER)",
    searched: bool = True,
    folds: bool = False,
    loaders: bool = False,
) -> OfflineConfig:
    """Parse the command line of an offline verb: a run or experiment folder, or `--config` files, then flags.

    Args:
        verb: name of the verb, for the help text.
        arguments: command-line arguments after the verb.
        options: dataclass of the verb's own flags, stored in `OfflineConfig.options`.
        takes: usage after the verb, for the help text.
        searched: whether `searched.yaml` of the experiment overrides the configured post-processing.
        folds: whether the verb reads the predictions of all folds; its options include `missing`.
        loaders: whether the verb needs batches: `data` is then the LightningDataModule, else its plain class.

    Raises:
        SystemExit: if arguments are invalid, the searched chain does not match the config, or, with `folds`, some folds
            of the experiment are missing.
    """
    line = CommandLine.read(arguments)
    folder, settings = line.folder(), line.settings
    check_names(settings, thorough=loaders)
    parser = make_parser(verb, takes, options, loaders)
    runs = fold_runs(folder) if folder is not None else []
    files = list(settings.configs) or ([runs[0].config] if runs else [])
    flags = repeated(settings, options).flags
    parsed = parse(parser, files, flags, loaders)
    origin = origin_of(parsed.competition)
    overlay = None if folder is None else experiment_folder(folder) / "searched.yaml"
    chain_given = any(flag.key.startswith("competition.postprocess") for flag in settings.flags)
    if searched and overlay is not None and overlay.is_file() and not chain_given:
        check_searched(overlay, origin, runs)
        parsed = parse(parser, [*files, overlay], flags, loaders)
    with unwrap_parser_errors():
        built = parser.instantiate(parsed)
    experiment = (
        experiment_folder(folder) if folder is not None else Path(built.runs) / (built.experiment or settings.name)
    )
    data = built.data
    own: Any = None if options is None else build_options(options, built)
    if data.folds is None:
        data.folds = f"folds/{settings.name}.csv"
    if not runs and any(experiment.glob("*/config.yaml")):
        runs = fold_runs(experiment)
    if folds and (folder is None or folder == experiment):  # not for a single run
        try:
            check_folds_there(experiment, runs, own.missing)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
    return OfflineConfig(experiment, data, built.competition, built.cv, runs, own, origin)


def make_parser(verb: str, takes: str, options: type | None, loaders: bool) -> VerbParser:
    """Build the parser of an offline verb that reads configs."""
    parser = VerbParser(
        prog=f"python cli.py {verb}", usage=f"python cli.py {verb} {takes} [--key value …]", description=None
    )
    parser.add_argument(
        "--config", "-c", action=ActionConfigFile, help="Config file; later files override earlier ones."
    )
    add_options(parser, options)
    parser.add_subclass_arguments(lightning_class() if loaders else BaseData, "data", required=True)
    add_experiment_arguments(parser)
    return parser


def lightning_class() -> type[BaseData]:
    """The base class of datamodules, imported on demand because it imports Lightning."""
    from datamodules import BaseDataModule

    return BaseDataModule


def parse(parser: VerbParser, files: Sequence[Path], flags: Sequence[Flag], loaders: bool) -> Namespace:
    """Parse and validate configs and flags without instantiating anything."""
    contents = without_replaced([kept_keys(file) for file in files])
    if not loaders:
        contents, flags = plain_data(contents, flags)
    texts = [part for content in contents for part in ("--config", to_yaml(content))]
    return parser.parse_args(texts + [part for flag in flags for part in flag.arguments()])


def kept_keys(path: Path) -> dict[str, Any]:
    """The keys of a YAML file that offline verbs use."""
    if not path.is_file():
        raise SystemExit(f"error: config file {path} not found")
    return {key: value for key, value in read_yaml(path).items() if key in KEPT}

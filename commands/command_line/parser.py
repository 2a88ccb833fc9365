"""Parsers of all verbs: errors begin with the cause, flags are not abbreviated, options are typed dataclasses."""

import argparse
import dataclasses
import sys
import typing
from typing import Any, NoReturn, TypeVar, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from commands.command_line.command_line import CommandLine
from compat.jsonargparse import cause_first, flags_of, null_of_nested_classes
from evaluation.cross_validation import CrossValidation
from experiments.fit_settings import FitSettings
from submissions.competition import Competition

Options = TypeVar("Options")
null_of_nested_classes()


class VerbParser(ArgumentParser):
    """Parser of a verb, with errors whose first line is the cause and without abbreviated flags.

    Verbs that do not train use it directly. It imports neither torch nor Lightning.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        verb = kwargs.get("prog", "python cli.py VERB")
        kwargs.setdefault("usage", f"{verb} (--config FILE | RUN_FOLDER) [--key value …]")
        super().__init__(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a nested parsing attempt of jsonargparse, which it may recover from
            super().error(message, ex)
        print(cause_first(message, flags_of(self)), file=sys.stderr)
        raise SystemExit(2)


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with the default of each option and descriptions with their line breaks."""


def add_experiment_arguments(parser: ArgumentParser) -> None:
    """Add the keys shared by training and offline verbs, besides `data`."""
    parser.add_argument(
        "--experiment",
        type=str | None,
        default=None,
        help="Name of the experiment; by default, that of the config file.",
    )
    parser.add_argument("--runs", type=str, default="runs", help="Parent folder of all experiments.")
    parser.add_argument(
        "--run_folder",
        type=str | None,
        default=None,
        help="Folder of the run; by default, <runs>/<experiment>/fold<k>.",
    )
    parser.add_class_arguments(Competition, "competition")
    parser.add_class_arguments(CrossValidation, "cv")


def names_of(options: type) -> list[str]:
    """Names of a verb's options, without dashes."""
    return [field.name for field in dataclasses.fields(options)]


def add_options(parser: ArgumentParser, options: type | None) -> None:
    """Add the fields of a verb's options as flags, with help from the docstring."""
    if options is not None:
        parser.add_class_arguments(options, sub_configs=True)


def build_options(options: type[Options], parsed: Namespace) -> Options:
    """Build the options from parsed and instantiated values."""
    return options(**{name: parsed[name] for name in names_of(options)})


def repeated(settings: FitSettings, options: type | None) -> FitSettings:
    """Make repeated list flags append: `--space a --space b` is the same as `--space '[a, b]'`."""
    lists = {name for name, hint in typing.get_type_hints(options or object).items() if is_list(hint)}
    flags = []
    for flag in settings.flags:
        one = flag.key in lists and flag.value is not None and not flag.value.lstrip().startswith(("[", "null"))
        flags.append(dataclasses.replace(flag, name=f"--{flag.key}+") if one else flag)
    return dataclasses.replace(settings, flags=tuple(flags))


def is_list(hint: Any) -> bool:
    """Whether a type is a list or an optional list."""
    kinds = (hint,) if get_origin(hint) is list else [kind for kind in get_args(hint) if kind is not type(None)]
    return bool(kinds) and all(get_origin(kind) is list for kind in kinds)


def parse_options(
    verb: str, arguments: list[str], options: type[Options], takes: str, description: str | None = None
) -> Options:
    """Parse the options of a verb that reads no config.

    Args:
        verb: name of the verb, for the help text.
        arguments: flags of the verb; anything else is rejected.
        options: dataclass of its options.
        takes: usage after the verb, for the help text.
        description: description in the help text.

    Raises:
        SystemExit: if arguments are invalid, or after printing help.
    """
    parser = VerbParser(
        prog=f"python cli.py {verb}",
        usage=f"python cli.py {verb} {takes}",
        description=description,
        formatter_class=HelpFormatter,
    )
    add_options(parser, options)
    line = CommandLine.read(arguments)
    # Paths and configs are passed on for the parser to reject.
    parsed = parser.parse_args([*line.paths, *repeated(line.settings, options).arguments()])
    return build_options(options, parser.instantiate(parsed))

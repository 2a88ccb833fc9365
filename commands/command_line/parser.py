"""The parsers of all verbs: errors begin with the cause, flags are never guessed, options are typed dataclasses."""

import argparse
import dataclasses
import sys
import typing
from typing import Any, NoReturn, TypeVar, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from commands.command_line.command_line import CommandLine
from compat.jsonargparse import cause_first, flags_of
from evaluation.cross_validation import CrossValidation
from submissions.competition import Competition

Options = TypeVar("Options")


class VerbParser(ArgumentParser):
    """The parser of a verb: errors whose first line is the cause, and no guessing of abbreviated flags.

    As it is, it serves every verb that trains nothing, and needs neither torch nor Lightning.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        verb = kwargs.get("prog", "python cli.py VERB")
        kwargs.setdefault("usage", f"{verb} (--config FILE | RUN_FOLDER) [--key value …]")
        super().__init__(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a nested attempt of jsonargparse's own, which it may recover from
            super().error(message, ex)
        print(cause_first(message, flags_of(self)), file=sys.stderr)
        raise SystemExit(2)


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults beside each option; descriptions keep their lines."""


def add_experiment_arguments(parser: ArgumentParser) -> None:
    """The keys that training and offline verbs share, beside `data`."""
    parser.add_argument(
        "--experiment", type=str | None, default=None, help="Name of the experiment; null: that of the config file."
    )
    parser.add_argument("--runs", type=str, default="runs", help="Folder of all experiments.")
    parser.add_argument(
        "--run_folder", type=str | None, default=None, help="Folder of the run; null: <runs>/<experiment>/fold<k>."
    )
    parser.add_class_arguments(Competition, "competition")
    parser.add_class_arguments(CrossValidation, "cv")


def names_of(options: type) -> list[str]:
    """The flags of a verb's options, without dashes."""
    return [field.name for field in dataclasses.fields(options)]


def add_options(parser: ArgumentParser, options: type | None) -> None:
    """The fields of a verb's options as flags; their help is that of the docstring."""
    if options is not None:
        parser.add_class_arguments(options, sub_configs=True)


def build_options(options: type[Options], parsed: Namespace) -> Options:
    """The options with what was parsed and instantiated."""
    return options(**{name: parsed[name] for name in names_of(options)})


def repeated(arguments: list[str], options: type | None) -> list[str]:
    """The flags of lists in a form that adds to the list: `--space a --space b` are two, `--space '[a, b]'` as well."""
    lists = {name for name, hint in typing.get_type_hints(options or object).items() if is_list(hint)}
    found: list[str] = []
    for flag in CommandLine.read(arguments).settings.flags:
        one = flag.key in lists and flag.value is not None and not flag.value.lstrip().startswith(("[", "null"))
        found += [f"--{flag.key}+", str(flag.value)] if one else flag.arguments()
    return found


def is_list(hint: Any) -> bool:
    """Whether a type is a list, or a list or None."""
    kinds = (hint,) if get_origin(hint) is list else [kind for kind in get_args(hint) if kind is not type(None)]
    return bool(kinds) and all(get_origin(kind) is list for kind in kinds)


def parse_options(
    verb: str, arguments: list[str], options: type[Options], takes: str, description: str | None = None
) -> Options:
    """Parse a verb that reads no config.

    Args:
        verb: for the help text.
        arguments: its flags.
        options: the dataclass of them.
        takes: what follows the verb, for the help text.
        description: some lines of the help text.

    Raises:
        SystemExit: wrong arguments, or help that was asked for.
    """
    parser = VerbParser(
        prog=f"python cli.py {verb}",
        usage=f"python cli.py {verb} {takes}",
        description=description,
        formatter_class=HelpFormatter,
    )
    add_options(parser, options)
    parsed = parser.parse_args(repeated(arguments, options))
    return build_options(options, parser.instantiate(parsed))

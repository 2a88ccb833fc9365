"""Verbs that start trainings: their own options and the flags they pass on to `fit`."""

import sys
from collections.abc import Collection
from typing import TypeVar

from commands.command_line.command_line import CommandLine
from commands.command_line.parser import names_of, parse_options
from compat.jsonargparse import cause_first
from experiments.fit_settings import FitSettings

Options = TypeVar("Options")

# Top-level keys of `fit`, which checks deeper keys itself.
FIT_KEYS = (
    *("trainer", "model", "data", "competition", "cv", "checkpoint", "early_stopping", "ema", "experiment", "runs"),
    *("run_folder", "overwrite", "stages", "panels", "seed_everything", "ckpt_path", "weights_only", "total_time"),
    "save_last_every",
)


def options_and_settings(
    verb: str,
    arguments: list[str],
    options: type[Options],
    takes: str,
    description: str,
    refused: Collection[str] = (),
    settled_for: str = "run",
) -> tuple[Options, FitSettings]:
    """Split a command line into the verb's own options and the configs and flags passed on to `fit`.

    Args:
        verb: name of the verb.
        arguments: command-line arguments after the verb.
        options: dataclass of its own options.
        takes: usage after the verb, for the help text.
        description: description in the help text.
        refused: keys that the verb sets itself.
        settled_for: what it sets them for ("run"), for the error message.

    Raises:
        SystemExit: if arguments are invalid, no config is given, or a key is set by the verb or unknown to `fit`.
    """
    line, keys = CommandLine.read(arguments), names_of(options)
    chosen = parse_options(verb, line.own(keys), options, takes, description)
    line.need_config(verb)
    given = line.others(keys)
    for flag in given.flags:
        if flag.key in refused:
            raise SystemExit(f"error: {flag.name} is not for {verb}, which sets it for each {settled_for}; remove it")
        if flag.key.split(".")[0].rstrip("+") not in FIT_KEYS:
            print(cause_first(f"unrecognized arguments: {flag.name}", [*keys, *FIT_KEYS]), file=sys.stderr)
            raise SystemExit(2)
    return chosen, given


def check_counts(**numbers: int | None) -> None:
    """Check that numbers are 1 or more; None is allowed.

    Raises:
        SystemExit: if a number is below 1; names all numbers.
    """
    if any(number is not None and number < 1 for number in numbers.values()):
        told = " and ".join(f"--{name} {number}" for name, number in numbers.items())
        raise SystemExit(f"error: {told}: expected 1 or more")

"""Verbs that start trainings: their own options, and what they pass on to `fit`."""

import sys
from collections.abc import Collection
from typing import TypeVar

from commands.command_line.command_line import CommandLine
from commands.command_line.parser import names_of, parse_options
from compat.jsonargparse import cause_first
from experiments.fit_settings import FitSettings

Options = TypeVar("Options")

# What `fit` takes; deeper keys are its own to check.
FIT_KEYS = (
    *("trainer", "model", "data", "competition", "cv", "checkpoint", "early_stopping", "ema", "experiment", "runs"),
    *("run_folder", "overwrite", "stages", "panels", "seed_everything", "ckpt_path", "weights_only"),
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
    """A verb's own options, and the configs and flags that are passed on to `fit`.

    Args:
        verb: the verb.
        arguments: what follows it.
        options: dataclass of its own flags.
        takes: what follows it, for the help text.
        description: some lines of the help text.
        refused: keys that the verb settles itself.
        settled_for: what it settles them for, for the error.

    Raises:
        SystemExit: wrong arguments, no config, a key that the verb settles itself, or one that `fit` does not have.
    """
    line, keys = CommandLine.read(arguments), names_of(options)
    chosen = parse_options(verb, line.own(keys), options, takes, description)
    line.need_config(verb)
    given = line.others(keys)
    for flag in given.flags:
        if flag.key in refused:
            raise SystemExit(
                f"error: {flag.name} is not for {verb}, which settles it for each {settled_for}; leave it out"
            )
        if flag.key.split(".")[0].rstrip("+") not in FIT_KEYS:
            print(cause_first(f"unrecognized arguments: {flag.name}", [*keys, *FIT_KEYS]), file=sys.stderr)
            raise SystemExit(2)
    return chosen, given


def check_counts(**numbers: int | None) -> None:
    """Refuse numbers below 1; None is left to the verb.

    Raises:
        SystemExit: names all of them.
    """
    if any(number is not None and number < 1 for number in numbers.values()):
        told = " and ".join(f"--{name} {number}" for name, number in numbers.items())
        raise SystemExit(f"error: {told}: expected 1 or more")

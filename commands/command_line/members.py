"""Command line of verbs that combine several experiments: `ensemble` and `stack`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import KEPT, read_config
from ensembling.members import Member
from experiments.configuration import OfflineConfig
from experiments.derived import config_of
from experiments.fit_settings import FitSettings


@dataclass(frozen=True)
class MembersLine:
    """Parsed command line of `ensemble` or `stack`.

    Args:
        members: member experiments, runs or prediction folders.
        config: config given by `--config`, else that of the first member, with the verb's options.
        settings: the config file and the flags.
        config_given: whether `--config` is given.
    """

    members: list[Member]
    config: OfflineConfig
    settings: FitSettings
    config_given: bool

    @property
    def file(self) -> Path:
        """The config file."""
        return self.settings.configs[0]


def read_members(verb: str, arguments: list[str], options: type, takes: str, no_members: str) -> MembersLine:
    """Parse `RUN RUN … [--config FILE] --key value …`.

    Args:
        verb: name of the verb.
        arguments: command-line arguments after the verb.
        options: dataclass of its options.
        takes: usage after the verb, for the help text.
        no_members: error message if neither members nor a config are given.

    Raises:
        SystemExit: if flags are invalid, or would be unknown to later verbs.
        ValueError: if no config or several configs are given.
    """
    line = CommandLine.read(arguments)
    wrong = [flag.name for flag in line.settings.flags if flag.key.split(".")[0] in KEPT]
    if wrong:
        raise SystemExit(f"error: {wrong[0]} would be unknown to later verbs; set it in a --config FILE")
    members, settings = [Member(path) for path in line.paths], line.settings
    given = bool(settings.configs)
    if not given and not line.asks_for_help:
        file = config_of(members)
        if file is None:
            raise ValueError(no_members)
        settings = settings.with_configs(file)
    if len(settings.configs) > 1:
        raise ValueError(f"{len(settings.configs)} configs are given; {verb} takes one: merge them into one file")
    config = read_config(verb, settings.arguments(), options, takes, searched=False)
    return MembersLine(members, config, settings, given)


@contextmanager
def errors_alone() -> Iterator[None]:
    """Turn errors of members, rules and models into an error message without traceback."""
    try:
        yield
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise SystemExit(f"error: {error.args[0] if isinstance(error, KeyError) else error}") from error

"""The command line of verbs that make one experiment of several: `ensemble` and `stack`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from ensembling.members import Member
from experiments.configuration import OfflineConfig
from experiments.derived import config_of
from experiments.fit_settings import OFFLINE, FitSettings


@dataclass(frozen=True)
class MembersLine:
    """What was given.

    Args:
        members: the models.
        config: of the first member, or the one that was given, with the verb's options.
        settings: its file, and the flags.
        config_given: whether `--config` was.
    """

    members: list[Member]
    config: OfflineConfig
    settings: FitSettings
    config_given: bool

    @property
    def file(self) -> Path:
        """Where the config was read."""
        return self.settings.configs[0]


def read_members(verb: str, arguments: list[str], options: type, takes: str, no_members: str) -> MembersLine:
    """Parse `RUN RUN … [--config FILE] --key value …`.

    Args:
        verb: the verb.
        arguments: what follows it.
        options: dataclass of its flags.
        takes: for the help text.
        no_members: what to do where neither members nor a config are given.

    Raises:
        SystemExit: wrong flags, or such as later verbs would not know of.
        ValueError: no config, or several.
    """
    line = CommandLine.read(arguments)
    wrong = [flag.name for flag in line.settings.flags if flag.key.split(".")[0] in (*OFFLINE, "run_folder")]
    if wrong:
        raise SystemExit(
            f"error: {wrong[0]}: the verbs after this one would not know of it; put it into a --config FILE"
        )
    members, settings = [Member(path) for path in line.paths], line.settings
    given = bool(settings.configs)
    if not given and not line.asks_for_help:
        file = config_of(members)
        if file is None:
            raise ValueError(no_members)
        settings = settings.with_configs(file)
    if len(settings.configs) > 1:
        raise ValueError(
            f"{len(settings.configs)} configs are given; {verb} takes one as its own: merge them in a file"
        )
    config = read_config(verb, settings.arguments(), options, takes, searched=False)
    return MembersLine(members, config, settings, given)


@contextmanager
def errors_alone() -> Iterator[None]:
    """What members, rules and models refuse ends the command with its text."""
    try:
        yield
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise SystemExit(f"error: {error.args[0] if isinstance(error, KeyError) else error}") from error

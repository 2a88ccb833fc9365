"""Command-line arguments after the verb, split into paths, configs and flags."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments.fit_settings import FitSettings, Flag
from experiments.yaml_files import read_yaml
from files.nested import flatten

CONFIG = ("--config", "-c")
HELP = ("--help", "-h")
ALONE = (*HELP, "--print_config")  # flags without a value


@dataclass(frozen=True)
class CommandLine:
    """Paths, configs and flags of a command line.

    Args:
        paths: positional arguments: run folders, experiment folders, a submission file.
        settings: configs and all flags.
    """

    paths: tuple[str, ...] = ()
    settings: FitSettings = field(default_factory=FitSettings)

    @classmethod
    def read(cls, arguments: list[str]) -> "CommandLine":
        """Split the arguments after the verb. `--key value` and `--key=value` are equivalent.

        Raises:
            SystemExit: if flags or presets come before the config, which would silently override them.
        """
        paths: list[str] = []
        configs: list[Path] = []
        flags: list[Flag] = []
        left = list(arguments)
        while left:
            argument = left.pop(0)
            if not is_flag(argument):
                paths.append(argument)
                continue
            name, equals, value = argument.partition("=")
            follows = not equals and name not in ALONE and left and not is_flag(left[0])
            flag = Flag(name, left.pop(0) if follows else value if equals else None, bool(equals))
            if name not in CONFIG:
                flags.append(flag)
                continue
            if flags and not set(HELP) & {one.name for one in flags}:
                before = " ".join(one.arguments()[0] for one in flags)
                raise SystemExit(
                    f"error: {flags[0].name} comes before --config, which would override it; put it after: "
                    f"--config … {before}"
                )
            configs.append(Path(flag.value or ""))
        check_order(configs)
        return cls(tuple(paths), FitSettings(tuple(configs), tuple(flags)))

    @property
    def asks_for_help(self) -> bool:
        """Whether help is requested."""
        return any(flag.name in HELP for flag in self.settings.flags)

    @property
    def prints_config(self) -> bool:
        """Whether only the config should be printed."""
        return any(flag.name == "--print_config" for flag in self.settings.flags)

    def folder(self) -> Path | None:
        """The run or experiment folder; None if not given.

        Raises:
            SystemExit: if several folders are given, or the folder does not exist.
        """
        if len(self.paths) > 1:
            raise SystemExit(f"error: unrecognized arguments: {' '.join(self.paths[1:])}; expected one folder")
        folder = Path(self.paths[0]) if self.paths else None
        if folder is not None and not folder.is_dir():
            raise SystemExit(f"error: {folder} is not a folder; give a run or experiment folder, or --config FILE")
        return folder

    def need_config(self, verb: str) -> None:
        """Check that configs are given and exist.

        Raises:
            SystemExit: if a config is missing, or positional arguments are given.
        """
        if self.paths:
            raise SystemExit(f"error: unrecognized arguments: {' '.join(self.paths)}; {verb} takes --config FILE")
        missing = [str(file) for file in self.settings.configs if not file.is_file()]
        if missing:
            raise SystemExit(f"error: config file {missing[0]} not found")
        if not self.settings.configs:
            raise SystemExit(f"error: {verb} needs --config FILE")

    def own(self, keys: Collection[str]) -> list[str]:
        """The verb's own flags (`keys`) and help flags as arguments."""
        return [part for flag in self.settings.flags if is_own(flag, keys) for part in flag.arguments()]

    def others(self, keys: Collection[str]) -> FitSettings:
        """The configs and the flags that are not the verb's own options."""
        return replace(self.settings, flags=tuple(flag for flag in self.settings.flags if not is_own(flag, keys)))


def is_flag(argument: str) -> bool:
    """Whether an argument is a flag. Negative numbers are values."""
    return argument.startswith("--") or argument in ("-c", "-h") or argument.startswith("-c=")


def is_own(flag: Flag, keys: Collection[str]) -> bool:
    """Whether a flag is an option of the verb (`keys`), or asks for its help."""
    return flag.key.rstrip("+") in keys or flag.name in HELP


def check_order(configs: list[Path]) -> None:
    """Check that the competition's config comes first, before presets it would override, and that all files are YAML.

    Raises:
        SystemExit: if a preset comes before the config; names both files.
    """
    contents = [flatten(read_yaml(file)) if file.is_file() else {} for file in configs]
    for file, other in zip(configs[1:], contents[1:], strict=True):
        lost = [key for key, value in contents[0].items() if key in other and other[key] != value]
        if lost and "data.class_path" in other and "data.class_path" not in contents[0]:
            raise SystemExit(
                f"error: {configs[0]} comes before {file}, which overrides its {lost[0]}; the competition's config "
                f"must come first: --config {file} --config {configs[0]}"
            )

"""Settings of a training: configs and flags, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.run_folder import fold_name
from experiments.yaml_files import read_yaml
from files.nested import flatten

OFFLINE = ("data", "cv", "competition", "experiment", "runs")  # keys known to verbs other than `fit`


@dataclass(frozen=True)
class Flag:
    """One flag `--key value` of a command line.

    Args:
        name: name with dashes.
        value: value as text; None if the flag has no value.
        joined: whether it is written as `--key=value`.
    """

    name: str
    value: str | None = None
    joined: bool = False

    @property
    def key(self) -> str:
        """Dotted config key, without `init_args`."""
        return self.name.lstrip("-").replace("init_args.", "")

    def arguments(self) -> list[str]:
        """The flag as written on the command line."""
        if self.value is None:
            return [self.name]
        return [f"{self.name}={self.value}"] if self.joined else [self.name, self.value]


@dataclass(frozen=True)
class FitSettings:
    """Configs and flags; later configs override earlier ones, flags override configs.

    Args:
        configs: YAML files.
        flags: flags in order; the last flag of a key applies.
    """

    configs: tuple[Path, ...] = ()
    flags: tuple[Flag, ...] = ()

    def arguments(self) -> list[str]:
        """Command-line arguments after the verb."""
        pairs = [Flag("--config", str(file)) for file in self.configs] + list(self.flags)
        return [part for pair in pairs for part in pair.arguments()]

    def setting(self, key: str, default: Any = None) -> Any:
        """Value of a dotted key (with or without `init_args`): from a flag, as text, else from the last config."""
        for flag in reversed(self.flags):
            if flag.key == key:
                return flag.value
        for file in reversed(self.configs):
            value: Any = read_yaml(file)
            for part in key.split("."):
                value = value.get(part, value.get("init_args", {}).get(part)) if isinstance(value, dict) else None
            if value is not None:
                return value
        return default

    def with_configs(self, *files: Path | str) -> "FitSettings":
        """Add configs that override earlier configs but not flags."""
        return replace(self, configs=(*self.configs, *map(Path, files)))

    def with_flags(self, flags: Mapping[str, Any]) -> "FitSettings":
        """Add flags by dotted key."""
        return replace(self, flags=(*self.flags, *(Flag(f"--{key}", str(value)) for key, value in flags.items())))

    def without(self, *keys: str) -> "FitSettings":
        """Remove the flags of some keys."""
        return replace(self, flags=tuple(flag for flag in self.flags if flag.key not in keys))

    def offline(self) -> "FitSettings":
        """Remove the flags known to `fit` only."""
        return replace(self, flags=tuple(flag for flag in self.flags if flag.key.split(".")[0] in OFFLINE))

    @property
    def name(self) -> str:
        """Name of the first config file, without suffix; `experiment` if there is no config."""
        return self.configs[0].stem if self.configs else "experiment"

    def experiment_folder(self) -> Path:
        """Experiment folder, `<runs>/<experiment>`."""
        return Path(self.setting("runs", "runs")) / (self.setting("experiment") or self.name)

    def run_folder(self) -> Path:
        """Run folder that `fit` would write."""
        given = self.setting("run_folder")
        return Path(given) if given is not None else self.experiment_folder() / fold_name(self.setting("data.fold", 0))

    def folds_file(self) -> Path:
        """Path of the folds file, which may not exist."""
        return Path(self.setting("data.folds") or f"folds/{self.name}.csv")

    def changes(self) -> list[str]:
        """Changes by later configs and flags, one line each: `data.batch_size: 16 -> 8`."""
        base = flatten(read_yaml(self.configs[0])) if self.configs else {}
        changed: dict[str, Any] = {}
        for file in self.configs[1:]:
            changed |= flatten(read_yaml(file))
        changed |= {flag.key: "" if flag.value is None else flag.value for flag in self.flags}
        found = [(key, base.get(key, "(not in the config)"), value) for key, value in changed.items()]
        return [f"{key}: {old} -> {value}" for key, old, value in found if str(old) != str(value)]

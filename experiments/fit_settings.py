"""What a training is made from: configs and flags, in their order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.run_folder import fold_name
from experiments.yaml_files import read_yaml
from files.nested import flatten

OFFLINE = ("data", "cv", "competition", "experiment", "runs")  # the keys that other verbs than `fit` know


@dataclass(frozen=True)
class Flag:
    """One `--key value` of a command line.

    Args:
        name: with its dashes.
        value: as text; None where the flag stands alone.
        joined: whether it was written `--key=value`.
    """

    name: str
    value: str | None = None
    joined: bool = False

    @property
    def key(self) -> str:
        """Dotted key of the config, without `init_args`."""
        return self.name.lstrip("-").replace("init_args.", "")

    def arguments(self) -> list[str]:
        """The flag as it was written."""
        if self.value is None:
            return [self.name]
        return [f"{self.name}={self.value}"] if self.joined else [self.name, self.value]


@dataclass(frozen=True)
class FitSettings:
    """Configs, later ones over earlier ones, and flags over all of them.

    Args:
        configs: YAML files.
        flags: in their order; of two for one key the last counts.
    """

    configs: tuple[Path, ...] = ()
    flags: tuple[Flag, ...] = ()

    def arguments(self) -> list[str]:
        """What follows a verb on the command line."""
        pairs = [Flag("--config", str(file)) for file in self.configs] + list(self.flags)
        return [part for pair in pairs for part in pair.arguments()]

    def setting(self, key: str, default: Any = None) -> Any:
        """Value of a dotted key (with or without `init_args`): of a flag, as text, else of the last config with it."""
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
        """With further configs over those there are; flags stay above them."""
        return replace(self, configs=(*self.configs, *map(Path, files)))

    def with_flags(self, flags: Mapping[str, Any]) -> "FitSettings":
        """With further flags, by dotted key."""
        return replace(self, flags=(*self.flags, *(Flag(f"--{key}", str(value)) for key, value in flags.items())))

    def without(self, *keys: str) -> "FitSettings":
        """Without the flags of some keys."""
        return replace(self, flags=tuple(flag for flag in self.flags if flag.key not in keys))

    def offline(self) -> "FitSettings":
        """Without the flags that only `fit` knows."""
        return replace(self, flags=tuple(flag for flag in self.flags if flag.key.split(".")[0] in OFFLINE))

    @property
    def name(self) -> str:
        """Name of the first config file, without its ending; `experiment` where none is given."""
        return self.configs[0].stem if self.configs else "experiment"

    def experiment_folder(self) -> Path:
        """Folder of the experiment, `<runs>/<experiment>`."""
        return Path(self.setting("runs", "runs")) / (self.setting("experiment") or self.name)

    def run_folder(self) -> Path:
        """Folder of the run that `fit` would write."""
        given = self.setting("run_folder")
        return Path(given) if given is not None else self.experiment_folder() / fold_name(self.setting("data.fold", 0))

    def folds_file(self) -> Path:
        """The folds file, whether it is there or not."""
        return Path(self.setting("data.folds") or f"folds/{self.name}.csv")

    def changes(self) -> list[str]:
        """What later configs and flags change, a line each: `data.batch_size: 16 -> 8`."""
        base = flatten(read_yaml(self.configs[0])) if self.configs else {}
        changed: dict[str, Any] = {}
        for file in self.configs[1:]:
            changed |= flatten(read_yaml(file))
        changed |= {flag.key: "" if flag.value is None else flag.value for flag in self.flags}
        found = [(key, base.get(key, "(not in the config)"), value) for key, value in changed.items()]
        return [f"{key}: {old} -> {value}" for key, old, value in found if str(old) != str(value)]

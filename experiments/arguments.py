"""The command line before it is parsed: run folders in place of configs, the order of flags, what differs."""

from pathlib import Path
from typing import Any

from augmentations.old_names import old_names
from experiments.yaml_files import read_yaml
from files.nested import flatten

CONFIG_FLAGS = ("--config", "-c")


def expand_run(arguments: list[str]) -> list[str]:
    """`runs/x/fold0 --flag …` -> `--config runs/x/fold0/config.yaml --run_folder runs/x/fold0 --flag …`."""
    if not arguments or arguments[0].startswith("-"):
        return arguments
    folder, rest = Path(arguments[0]), arguments[1:]
    config = folder / "config.yaml"
    if not config.is_file():
        raise SystemExit(f"error: {folder} is no run folder (it has no config.yaml); give one that `fit` has written")
    return ["--config", str(config), "--run_folder", str(folder), *rest]


def check_order(arguments: list[str]) -> None:
    """Refuse flags and presets before the config: it would override them without a word."""
    files, seen = config_files(arguments), []
    for argument in arguments:
        is_config = argument.split("=")[0] in CONFIG_FLAGS
        if is_config and seen:
            raise SystemExit(
                f"error: {seen[0]} stands before --config, which would override it; put it after: "
                f"--config … {' '.join(seen)}"
            )
        if argument.startswith("--") and not is_config:
            seen.append(argument)
    contents = [flatten(read_yaml(file)) if file.is_file() else {} for file in files]  # what is no YAML ends here
    if len(files) < 2:
        return
    first, *others = contents
    for file, other in zip(files[1:], others, strict=True):
        lost = [key for key, value in first.items() if key in other and other[key] != value]
        if lost and "data.class_path" in other and "data.class_path" not in first:
            raise SystemExit(
                f"error: {files[0]} stands before {file}, which overrides its {lost[0]}; the competition's config "
                f"comes first: --config {file} --config {files[0]}"
            )


def check_names(arguments: list[str]) -> None:
    """Refuse names of albumentations 1.x in the configs, all at once, each with its new name."""
    for file in config_files(arguments):
        wrong = list(old_names(read_yaml(file))) if file.is_file() else []
        if wrong:
            raise SystemExit(f"error: {file} names what albumentations 2 does not have\n  " + "\n  ".join(wrong))


def config_files(arguments: list[str]) -> list[Path]:
    """The files given by `--config`, in order."""
    files = []
    for index, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in CONFIG_FLAGS:
            value = value or (arguments[index + 1] if index + 1 < len(arguments) else "")
            files.append(Path(value))
    return files


def experiment_name(arguments: list[str]) -> str:
    """Name of the first config file, without its ending; `experiment` where none is given."""
    files = config_files(arguments)
    return files[0].stem if files else "experiment"


def changes(arguments: list[str]) -> list[str]:
    """What later configs and flags change, a line each: `data.batch_size: 16 -> 8`."""
    files = config_files(arguments)
    base = flatten(read_yaml(files[0])) if files else {}
    changed: dict[str, Any] = {}
    for file in files[1:]:
        changed |= flatten(read_yaml(file))
    pairs = list(arguments)
    while pairs:
        flag, _, value = pairs.pop(0).partition("=")
        if not flag.startswith("-"):
            continue
        if not value and pairs and not pairs[0].startswith("--"):
            value = pairs.pop(0)
        if flag not in CONFIG_FLAGS:
            changed[flag.lstrip("-").replace("init_args.", "")] = value
    lines = []
    for key, value in changed.items():
        old = base.get(key, "(not in the config)")
        if str(old) != str(value):
            lines.append(f"{key}: {old} -> {value}")
    return lines


OFFLINE_FLAGS = ("--data", "--cv", "--competition", "--experiment", "--runs")


def setting(files: list[Path], arguments: list[str], key: str, default: Any) -> Any:
    """Value of a dotted key from flags, else from the last config that has it (with or without `init_args`)."""
    for index, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag.replace("init_args.", "") == f"--{key}":
            return value or arguments[index + 1]
    for file in reversed(files):
        value: Any = read_yaml(file)
        for part in key.split("."):
            value = value.get(part, value.get("init_args", {}).get(part)) if isinstance(value, dict) else None
        if value is not None:
            return value
    return default


def flags_for_offline(arguments: list[str]) -> list[str]:
    """Config files and the flags that offline verbs know."""
    kept: list[str] = []
    keep = False
    for argument in arguments:
        if argument.startswith("-"):
            keep = argument.startswith(("--config", "-c", *OFFLINE_FLAGS))
        if keep:
            kept.append(argument)
    return kept


def without_configs(arguments: list[str]) -> list[str]:
    """The arguments without their `--config FILE` pairs."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in ("--config", "-c"):
            skip = True
        elif not argument.startswith("--config="):
            kept.append(argument)
    return kept


OFFLINE_KEYS = ("--data", "--competition", "--cv", "--experiment", "--runs", "--run_folder")


def config_file(flags: list[str]) -> str:
    """The one config of the command line."""
    from experiments.arguments import config_files

    files = config_files(flags)
    if len(files) != 1:
        raise ValueError(f"{len(files)} configs are given; the ensemble takes one as its own: merge them in a file")
    return str(files[0])

"""Former names of config keys, arguments and classes, and configs saved by former builds.

They are accepted for one release, with a `FutureWarning` that gives the new name.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any

KEYS = {  # dotted, without `init_args`; also as flags
    "data.repeats": "data.samples_per_image",
    "import": "new_labels",  # of `suggest`
    "truth": "data_target",  # of `stack`
    "hi": "positive_above",  # of `pseudo`, as the next two
    "lo": "negative_below",
    "copies": "keep_duplicates",
    "data.limit": "data.max_images",
    "data.reader.pixel_limit": "data.reader.max_pixels",
    "data.reader.voxel_limit": "data.reader.max_voxels",
    "competition.report": "competition.extra_metrics",
    "competition.over_all": "competition.dataset_postprocess",
    "competition.file_limit": "competition.max_file_size",
    "model.encoder_lr": "model.encoder_lr_factor",
    "model.inference.along": "model.inference.coarse_run",
    "model.inference.colours": "model.inference.intensity",
}
ROOM_ARGUMENTS = {  # folder -> former argument of any of its classes -> its name now
    "evaluation": {"truth": "target"},
}
ARGUMENTS = {  # name of a class of this repository -> former argument -> its name now
    "DicomReader": {"pixel_limit": "max_pixels"},
    "GeoTiffReader": {"pixel_limit": "max_pixels"},
    "ImageReader": {"pixel_limit": "max_pixels"},
    "RgbyReader": {"pixel_limit": "max_pixels"},
    "VolumeReader": {"voxel_limit": "max_voxels"},
    "CubeReader": {"voxel_limit": "max_voxels"},
    "Clahe": {"maximum": "max_value"},
    "RemoveHaze": {"maximum": "max_value", "least": "min_transmission"},
    "SpaceNetF1": {"minimum_area": "min_area", "minimum_predicted": "min_predicted_area"},
    "Watershed": {"seed": "seed_threshold", "mask": "mask_threshold", "minimum_seed": "min_seed_size"},
    "FillHoles": {"maximum": "max_area"},
    "QuantileThreshold": {"least": "min_threshold"},
    "Clusters": {"minimum": "min_size"},
    "Cells": {"minimum": "min_score"},
    "ArcfaceLoss": {"size": "embedding_dim", "plain": "softmax_share"},
    "CenterLoss": {"size": "embedding_dim"},
}
CLASSES = {  # class paths moved within a folder
    "networks.unstack": "networks.unstack_deep_supervision",
}
# Folders whose classes have former arguments, by their names of today and of then.
ROOMS = ("augmentations", "datamodules", "evaluation", "losses", "postprocessing", "preprocessing", "submissions")
# Packages whose classes are exported one level up. Both paths are valid; the shorter is used, so that configs
# and records that differ only in these paths are equal.
SHORTER = {"evaluation.metrics": "evaluation"}


def accept_former_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Rename former keys of a config or overlay; `config` itself is not changed.

    Raises:
        ValueError: if a key is present under both its former and its new name.
    """
    return _without_former_defaults(_renamed(config, (), ""), _is_dump_of_former_build(config))


def accept_former_arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Rename former arguments of a class given by name, such as a loss in the formula."""
    return accept_former_keys({"class_path": name, "init_args": arguments})["init_args"]


def accept_former_flags(arguments: list[str]) -> list[str]:
    """Rename former flags of a command line (`--data.repeats 2`), and keys in their values
    (`--competition.postprocess '[{class_path: …, init_args: {…}}]'`)."""
    found: list[str] = []
    path: tuple[str, ...] = ()  # path of the flag whose value comes next
    for argument in arguments:
        if not argument.startswith("--"):
            found.append(_present_value(argument, path))
            path = ()
            continue
        flag, equals, value = argument.partition("=")
        flag = _present_flag(flag)
        path = tuple(flag.removeprefix("--").rstrip("+").split("."))
        found.append(f"{flag}{equals}{_present_value(value, path)}")
    return found


def _present_flag(flag: str) -> str:
    """Rename a former flag; subkeys and a trailing `+` are kept."""
    for former, now in KEYS.items():
        key = r"\.(?:init_args\.)?".join(map(re.escape, former.split(".")))
        if match := re.match(rf"--{key}(?=$|[.+])", flag):
            _warn(f"--{former}", f"--{now}")
            return f"--{now}{flag[match.end() :]}"
    return flag


def _present_value(text: str, path: tuple[str, ...]) -> str:
    """Rename former keys in a flag value; mappings and lists are read as the config section at `path`."""
    if not path or not text.lstrip().startswith(("{", "[")):
        return text
    import yaml  # imported on demand, as every start of the command line reads this file

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:  # reported by the parser
        return text
    present = _renamed(content, path, "")
    return text if present == content else yaml.safe_dump(present, default_flow_style=True, sort_keys=False, width=1e9)


def _renamed(value: Any, path: tuple[str, ...], owner: str) -> Any:
    if isinstance(value, list):
        # List entries, such as stages, are read as separate configs.
        return [_renamed(entry, () if path == ("stages",) else (*path, "*"), owner) for entry in value]
    if not isinstance(value, dict):
        return value
    found: dict[Any, Any] = {}
    if path[-1:] != ("init_args",):
        class_path = str(value.get("class_path", owner))
        owner = CLASSES.get(class_path, class_path)
    for key, inner in value.items():
        if key == "class_path" and inner in CLASSES:
            _warn(inner, CLASSES[inner])
            inner = CLASSES[inner]
        if key == "class_path":
            inner = _shorter(inner)
        name = _name_of(key, path, owner)
        if name in found or (name != key and name in value):
            raise ValueError(
                f"{'.'.join((*_dotted(path), str(key)))} is now called {name}, which is also set; keep one"
            )
        found[name] = _renamed(inner, (*path, key), owner)
    return found


def _shorter(class_path: Any) -> Any:
    package, _, name = str(class_path).rpartition(".")
    return f"{SHORTER[package]}.{name}" if package in SHORTER else class_path


def _name_of(key: Any, path: tuple[str, ...], owner: str) -> Any:
    """Current name of a key, by its path in the config or else as an argument of its class."""
    former = ".".join((*_dotted(path), str(key)))
    if former in KEYS:
        _warn(former, KEYS[former])
        return KEYS[former].rpartition(".")[2]
    if path[-1:] == ("init_args",):
        package, _, name = owner.rpartition(".")
        room = package.partition(".")[0]
        # A class of a fork may have the same name; a loss in the formula has no package.
        known = ROOM_ARGUMENTS.get(room, {}) | (ARGUMENTS.get(name, {}) if room in ("", *ROOMS) else {})
        if key in known:
            _warn(f"{key} of {name}", known[key])
            return known[key]
    return key


def _dotted(path: tuple[str, ...]) -> Iterator[str]:
    return (part for part in path if part != "init_args")


def _warn(former: str, now: str) -> None:
    warnings.warn(f"{former} is now {now}; the former name goes with the next release", FutureWarning, stacklevel=3)


def _is_dump_of_former_build(config: dict[str, Any]) -> bool:
    """Whether this config was saved by `fit` of a former build, with all default arguments."""
    data = config.get("data")
    arguments = data.get("init_args") if isinstance(data, dict) else None
    return isinstance(arguments, dict) and {"repeats", "root", "generator", "unreadable"} <= set(arguments)


def _without_former_defaults(value: Any, saved: bool) -> Any:
    """Remove former defaults that had no effect then but have one now.

    `ignore: 255` of binary mask files in configs saved by `fit`: 255 was the foreground value, and now means ignored
    pixels. `min_cover: 2` of `postprocessing.inference.Inference` applied to edges only, and now applies to the tiles
    of every grid.
    """
    if isinstance(value, list):
        return [_without_former_defaults(entry, saved) for entry in value]
    if not isinstance(value, dict):
        return value
    found = {key: _without_former_defaults(inner, saved) for key, inner in value.items()}
    arguments, path = found.get("init_args"), str(found.get("class_path"))
    if isinstance(arguments, dict):
        masks = path.rpartition(".")[2] in ("MaskFiles", "MaskVolumes", "RandomWindows", "VolumePatches")
        if saved and masks and arguments.get("ignore") == 255:
            found["init_args"] = arguments | {"ignore": None}
        edges = arguments.get("coarse_run") is not None
        if path in ("postprocessing.Inference", "postprocessing.inference.Inference") and not edges:
            found["init_args"] = {key: inner for key, inner in arguments.items() if key != "min_cover"}
    return found

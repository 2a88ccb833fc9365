"""Keys, arguments and classes of configs under the names they had, and what runs of former builds have saved.

All of it is accepted for one release, with a `FutureWarning` that gives the new name.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any

KEYS = {  # dotted, without `init_args`; also as flags
    "data.repeats": "data.samples_per_image",
    "import": "new_labels",  # of `suggest`
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
ARGUMENTS = {  # name of a class -> former argument -> its name now
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
CLASSES = {  # class paths that moved within a folder
    "networks.unstack": "networks.unstack_deep_supervision",
}
# Packages whose classes are exported one level up. Both paths are good; the shorter is taken for both, so that configs
# and records that differ in nothing else are equal.
SHORTER = {"evaluation.metrics": "evaluation"}


def accept_former_keys(config: dict[str, Any]) -> dict[str, Any]:
    """A config, or an overlay, in the words of today; `config` itself is left as it is.

    Raises:
        ValueError: a key stands there under its former and its new name.
    """
    return _without_former_defaults(_renamed(config, (), ""), _is_dump_of_former_build(config))


def accept_former_arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a class by its name, such as a loss of the formula, under their names of today."""
    return accept_former_keys({"class_path": name, "init_args": arguments})["init_args"]


def accept_former_flags(arguments: list[str]) -> list[str]:
    """The arguments of a command line under their names of today: flags (`--data.repeats 2`), and keys in their values
    (`--competition.postprocess '[{class_path: …, init_args: {…}}]'`)."""
    found: list[str] = []
    path: tuple[str, ...] = ()  # of the flag whose value comes next
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
    """A flag under its name of today; what stands below a former key, or `+` after it, stays."""
    for former, now in KEYS.items():
        key = r"\.(?:init_args\.)?".join(map(re.escape, former.split(".")))
        if match := re.match(rf"--{key}(?=$|[.+])", flag):
            _warn(f"--{former}", f"--{now}")
            return f"--{now}{flag[match.end() :]}"
    return flag


def _present_value(text: str, path: tuple[str, ...]) -> str:
    """The value of a flag; a mapping or list in it is read as the part of a config at `path`."""
    if not path or not text.lstrip().startswith(("{", "[")):
        return text
    import yaml  # here: every start of the command line reads this file

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:  # the parser will say so
        return text
    present = _renamed(content, path, "")
    return text if present == content else yaml.safe_dump(present, default_flow_style=True, sort_keys=False, width=1e9)


def _renamed(value: Any, path: tuple[str, ...], owner: str) -> Any:
    if isinstance(value, list):
        # The entries of a list, such as stages, are read as configs of their own.
        return [_renamed(entry, () if path == ("stages",) else (*path, "*"), owner) for entry in value]
    if not isinstance(value, dict):
        return value
    found: dict[Any, Any] = {}
    if path[-1:] != ("init_args",):
        class_path = str(value.get("class_path", owner))
        owner = CLASSES.get(class_path, class_path).rpartition(".")[2]
    for key, inner in value.items():
        if key == "class_path" and inner in CLASSES:
            _warn(inner, CLASSES[inner])
            inner = CLASSES[inner]
        if key == "class_path":
            inner = _shorter(inner)
        name = _name_of(key, path, owner)
        if name in found or (name != key and name in value):
            raise ValueError(
                f"{'.'.join((*_dotted(path), str(key)))} is now called {name}, which is there too; keep one"
            )
        found[name] = _renamed(inner, (*path, key), owner)
    return found


def _shorter(class_path: Any) -> Any:
    package, _, name = str(class_path).rpartition(".")
    return f"{SHORTER[package]}.{name}" if package in SHORTER else class_path


def _name_of(key: Any, path: tuple[str, ...], owner: str) -> Any:
    """The name of a key now: by its place in the config, else as an argument of the class that it belongs to."""
    former = ".".join((*_dotted(path), str(key)))
    if former in KEYS:
        _warn(former, KEYS[former])
        return KEYS[former].rpartition(".")[2]
    if path[-1:] == ("init_args",) and key in ARGUMENTS.get(owner, {}):
        _warn(f"{key} of {owner}", ARGUMENTS[owner][key])
        return ARGUMENTS[owner][key]
    return key


def _dotted(path: tuple[str, ...]) -> Iterator[str]:
    return (part for part in path if part != "init_args")


def _warn(former: str, now: str) -> None:
    warnings.warn(f"{former} is now {now}; the former name goes with the next release", FutureWarning, stacklevel=3)


def _is_dump_of_former_build(config: dict[str, Any]) -> bool:
    """Whether `fit` of a former build has saved this config, every argument with its default of then."""
    data = config.get("data")
    arguments = data.get("init_args") if isinstance(data, dict) else None
    return isinstance(arguments, dict) and {"repeats", "root", "generator", "unreadable"} <= set(arguments)


def _without_former_defaults(value: Any, saved: bool) -> Any:
    """Defaults that meant nothing then and mean something now.

    `ignore: 255` of binary mask files, in what `fit` has saved: 255 was the mask's own value, and is read as pixels
    that do not count where a config says so. `min_cover: 2` of `postprocessing.inference.Inference` was for edges
    alone; it counts tiles of every grid now.
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

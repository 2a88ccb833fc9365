"""Config overlay that reads the output of `prepare`."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from datamodules.plain import BaseData
from datamodules.table import rows_of
from datamodules.targets import Boxes
from experiments.prepared_split import Split
from experiments.yaml_files import read_yaml
from files.writing import write_yaml


def data_lines(split: Split) -> dict[str, Any]:
    """Arguments of `data` that read the output."""
    lines: dict[str, Any] = {}
    if not split.entries:
        return lines
    folders = {name.split("/")[0] for entry in split.entries.values() for name in entry["files"]}
    key = {"": "images", "test_": "test_images"}.get(split.prefix)
    if key is not None:
        if f"{split.prefix}images" in folders:
            lines[key] = f"{split.prefix}images/*.{split.job.form}"
        if "val_images" in folders and split.prefix == "":
            lines["val_images"] = f"val_images/*.{split.job.form}"
        lines["test_metadata" if split.prefix else "metadata"] = f"{split.prefix}table.csv"
        lines["id_column"] = "image_id"
        if split.targets:
            lines["test_targets" if split.prefix else "targets"] = target_lines(split)
    lines["reader"] = reader_line(split)
    return lines


def reader_line(split: Split) -> dict[str, Any]:
    if split.job.form == "npy":
        return {"class_path": "datamodules.readers.arrays.ArrayReader"}
    channels = {entry["facts"]["channels"] for entry in split.entries.values()}
    how = "gray" if channels == {1} else "unchanged" if channels == {4} else "rgb"
    return {"class_path": "datamodules.readers.ImageReader", "init_args": {"channels": how}}


def target_lines(split: Split) -> list[dict[str, Any]]:
    lines = []
    for name, kind in split.job.kinds.items():
        init_args: dict[str, Any] = {"pattern": split.job.mask_file(name, "{image_id}"), "name": name}
        class_path = {
            "binary": "datamodules.targets.MaskFiles",
            "classes": "datamodules.targets.MaskFiles",
            "labels": "datamodules.targets.LabelImages",
            "array": "datamodules.targets.array_files.ArrayFiles",
        }[kind]
        if kind == "classes":
            init_args["classes"] = 2 if name == "valid" else classes_of(split, name)
        lines.append({"class_path": class_path, "init_args": init_args})
    for target in split.kept:
        line = as_yaml(target)
        if isinstance(target, Boxes):  # its file names contain the original folders
            line["init_args"]["folders"] = False
        lines.append(line)
    return lines


def kept_files(split: Split) -> list[str]:
    """Files in the data root that targets still read."""
    files = [file for target in split.kept for row in rows_of(split.table) for file in target.files(row)]
    files = [file for file in dict.fromkeys(files) if file.is_relative_to(split.data.root)]
    names = [str(file.relative_to(split.data.root)) for file in files]
    texts = [value for target in split.kept for value in vars(target).values() if isinstance(value, str)]
    return names + [text for text in texts if text.endswith(".csv")]


def classes_of(split: Split, name: str) -> int | None:
    return next(target.class_count for target in split.targets if getattr(target, "name", None) == name)


def as_yaml(thing: Any) -> dict[str, Any]:
    """`class_path` and `init_args` of an object that stores its arguments as attributes of the same names."""
    kind = type(thing)
    parameters = inspect.signature(kind).parameters
    arguments = {
        name: getattr(thing, name)
        for name, parameter in parameters.items()
        if hasattr(thing, name) and getattr(thing, name) != parameter.default
    }
    package = kind.__module__.rpartition(".")[0]
    exported = getattr(import_module(package), kind.__name__, None) is kind if package else False
    path = f"{package if exported else kind.__module__}.{kind.__name__}"
    return {"class_path": path, **({"init_args": arguments} if arguments else {})}


def write_overlay(data: BaseData, output: Path, lines: dict[str, Any]) -> Path:
    """Write `data.yaml`, a config overlay that reads the output."""
    path = output / "data.yaml"
    earlier = read_yaml(path)["data"]["init_args"] if path.is_file() else {}  # other splits
    # Other arguments of the config describe the original files and would remain under the overlay.
    gone = ("val_images", "test_images", "test_targets", "preprocessing", "train_ids", "test_ids", "id_pattern")
    lines = {key: None for key in gone if getattr(data, key, None)} | earlier | lines
    order = ["root", "images", "val_images", "test_images", "reader", "preprocessing", "targets", "test_targets"]
    lines = {key: lines[key] for key in [*order, *lines] if key in lines}
    content = {"data": {"class_path": "datamodules.ImageDataModule", "init_args": lines}}
    write_yaml(path, content)
    return path

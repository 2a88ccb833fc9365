"""The verb `prepare`: images and masks of a config as plain files, read, converted and preprocessed once."""

import inspect
import json
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from commands.command_line.config import read_config
from datamodules import BaseDataModule
from datamodules.cache import identity, settings_of
from datamodules.decoder import Decoder
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets import Boxes, Target
from datamodules.targets.boxes import ARRAYS
from experiments.arguments import config_files
from experiments.configuration import OfflineConfig
from experiments.conversion import Job, converted, kind_of
from experiments.yaml_files import read_yaml
from files.atomic import atomic_path
from files.paths import confined, text_hash
from files.png import write_png
from files.writing import write_frame, write_json, write_text, write_yaml
from preprocessing.base import Preprocess

FORMAT = 1  # raise it when what is written changes


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""

    def options(parser: Any) -> None:
        add = parser.add_argument
        add(
            "--output", type=str, required=True, help="Folder to write to; go on with an earlier, unfinished run there."
        )
        add(
            "--steps",
            type=list[Preprocess] | None,
            default=None,
            sub_configs=True,
            help="Steps after data.preprocessing, as YAML or a YAML file: preprocessing.Clahe, preprocessing.Resize, …",
        )
        add("--splits", type=list[str] | None, default=None, help="train, test, folders; train and test, if any.")
        add("--format", type=Literal["png", "npy"], default="png", help="npy: any type and number of channels.")
        add(
            "--bits",
            type=Literal["auto", 8, 16],
            default="auto",
            help="auto: the file's own, without loss; 8 rounds 16 bits (65535 to 255), 16 spreads 8 (255 to 65535).",
        )
        add("--processes", type=int | None, default=None, help="Worker processes; one per CPU.")

    prepare(read_config("prepare", arguments, options, searched=False), arguments)


def prepare(config: OfflineConfig, arguments: list[str]) -> None:
    """Write every split of a config and say how to read it; `arguments` are named in what it prints.

    Raises:
        SystemExit: the options contradict each other, the output is no folder of ours, nothing can be written, or
            images failed: then everything else is written, and `failed.csv` says which and why.
    """
    data, options = config.data, config.options
    output, steps = Path(options.output), options.steps or []
    data.prepare_data()
    check_output(output, Path(data.root))
    splits = options.splits or (["train"] if data.test_table() is None else ["train", "test"])
    prefixes = [prefix_of(split) for split in splits]
    if len(set(prefixes)) < len(prefixes):
        raise SystemExit(
            f"error: --splits {splits} would be written to the same folder; prepare them one after the other"
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = options.processes if options.processes is not None else cpus
    failures, tables, lines = [], [data.sample_submission, config.competition.solution], {"root": str(output)}
    for split, prefix in zip(splits, prefixes, strict=True):
        work = Split(data, split, prefix, output, steps, options.format, options.bits)
        work.run(max(1, processes))
        failures += [{"split": split, **failure} for failure in work.failures]
        tables += work.kept_files()
        lines |= work.yaml_lines()
    write_failures(output / "failed.csv", failures)
    copied = copy_files(data.root, tables, output)
    print_end(write_overlay(data, output, lines), steps, copied, arguments)
    if failures:
        raise SystemExit(
            f"error: {len(failures)} images failed and are left out, the first is {failures[0]['image_id']!r}: "
            f"{failures[0]['error']}\n  all of them: {output / 'failed.csv'}; mend the files and run the same command "
            "again, which does the rest"
        )


def check_output(output: Path, root: Path) -> None:
    """Refuse a folder that holds something else; mark it as ours."""
    mark = output / "prepare.json"
    if output.resolve() == root.resolve():
        raise SystemExit(f"error: --output {output} is data.root itself; give another folder")
    if output.exists() and not output.is_dir():
        raise SystemExit(f"error: --output {output} is a file; give a folder")
    if output.is_dir() and any(output.iterdir()) and not mark.is_file():
        raise SystemExit(f"error: --output {output} holds files that `prepare` has not made; give an empty folder")
    try:
        write_json(mark, {"format": FORMAT, "root": str(root)})
    except OSError as error:
        raise SystemExit(f"error: --output {output}: {error}") from None


def prefix_of(split: str) -> str:
    """What the folders of a split begin with: nothing for `train`, `test_`, or a folder's name."""
    return "" if split == "train" else f"{Path(split).name}_"


# --- one split -------------------------------------------------------------------------------------------------------


class Split:
    """Converts the images of a split; what is there already, from the same files and settings, is left alone.

    `<prefix>prepared.jsonl` has a line per finished image: a key (a hash of settings, path, size and time of every file
    that was read) and the files that were written. An image is done while the key is the same and its files are there
    in their full size.

    Args:
        data: the datamodule.
        split: `train` (every training image), `test`, or a folder of images.
        prefix: of its folders.
        output: folder to write to.
        steps: steps after those of the datamodule.
        form: `png` or `npy`.
        bits: `auto`, 8 or 16.
    """

    def __init__(
        self, data: BaseDataModule, split: str, prefix: str, output: Path, steps: list[Preprocess], form: str, bits: Any
    ) -> None:
        self.data, self.split, self.prefix, self.output = data, split, prefix, output
        tables = {"train": data.table, "test": lambda: data.split_table("test")}
        table = tables.get(split, lambda: data.split_table(split))()
        self.table = table.iloc[: data.max_images].reset_index(drop=True)
        self.targets: list[Target] = {"train": data.targets, "test": data.test_targets}.get(split, [])
        if any(target.boxes for target in self.targets) and any(step.changes_shape for step in steps):
            raise SystemExit(
                "error: a step changes the shape of images, and the boxes would no longer fit; leave it out"
            )
        for target in self.targets:
            target.prepare(self.table, Path(data.root))
        decoder = Decoder(data.reader, self.targets, data.preprocessing)
        self.job = Job(decoder, steps, output, prefix, form, bits)
        self.journal = output / f"{prefix}prepared.jsonl"
        self.entries: dict[str, dict[str, Any]] = {}
        self.failures: list[dict[str, str]] = []
        self.kept: list[Target] = []  # targets that still read, or derive, from what they did

    def run(self, processes: int) -> None:
        """Convert what is not there."""
        rows = rows_of(self.table)
        self._plan(rows)
        settings = " ".join(map(settings_of, (self.data.reader, *self.data.preprocessing, *self.job.steps)))
        settings += f" {[settings_of(target) for target in self.targets]}"
        settings = f"{FORMAT} {settings} {self.job.form} {self.job.bits} {sorted(self.job.kinds.items())}"
        known = self._read_journal()
        keys, todo = {}, []
        for row in rows:
            try:
                keys[row.image_id] = text_hash(
                    f"{settings} {self.job.image_folder(row)} {row.image_id} {identity(self.job.decoder.files(row))}"
                )
            except OSError as error:  # a file that was listed and is gone
                keys[row.image_id] = ""
                self.failures.append({"image_id": row.image_id, "path": str(row.path), "error": str(error)})
                continue
            entry = known.get(row.image_id)
            if entry is not None and entry["key"] == keys[row.image_id] and self._complete(entry):
                self.entries[row.image_id] = entry
            else:
                todo.append(row)
        stale = {name: entry for name, entry in known.items() if name not in self.entries}
        if known:
            changed = sum(entry["key"] != keys.get(name) for name, entry in stale.items())
            why = f", {changed} were made from other files or settings" if changed else ""
            print(f"{self.split}: {len(self.entries)} of {len(rows)} images are there already{why}")
        self._write_journal({**stale, **self.entries})
        with (
            open(self.journal, "a") as journal,
            tqdm(total=len(todo), desc=f"preparing {self.split}", unit=" images", disable=not todo) as bar,
        ):
            for result in converted(self.job, todo, processes):
                bar.update()
                image_id = result["image_id"]
                if "error" in result:
                    self.failures.append(result)
                    continue
                entry = {"key": keys[image_id], **result}
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
                self.entries[image_id] = entry
        self._remove(stale)
        self._fill_valid()
        self._write_journal(self.entries)
        self._write_table()

    def _plan(self, rows: list[Row]) -> None:
        """How each array of truth is stored, by the first image that can be read; targets without one stay."""
        for row in rows if self.targets else []:
            try:
                size = self.data.reader.size(row)
                found = [target.read(row, size) for target in self.targets]
            except Exception:  # it is listed as failed when its turn comes
                continue
            for target, arrays in zip(self.targets, found, strict=True):
                planes = {name: array for name, array in arrays.items() if array.ndim >= 2 and name not in ARRAYS}
                for name, array in planes.items():
                    self.job.kinds[name] = kind_of(target, name, array, self.job.form)
                if not arrays or len(planes) < len(arrays):
                    self.kept.append(target)
            return

    def _complete(self, entry: dict[str, Any]) -> bool:
        files = ((self.output / name, size) for name, size in entry["files"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in files)

    def _read_journal(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        for line in self.journal.read_text().splitlines() if self.journal.is_file() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the last line of a run that was killed
                continue
            entries[entry["image_id"]] = entry
        for folder in (f"{self.prefix}images", "val_images", f"{self.prefix}masks"):
            for left in (self.output / folder).rglob("*.tmp"):
                left.unlink(missing_ok=True)
        return entries

    def _write_journal(self, entries: dict[str, dict[str, Any]]) -> None:
        write_text(self.journal, "".join(json.dumps(entry) + "\n" for entry in entries.values()))

    def _remove(self, stale: dict[str, dict[str, Any]]) -> None:
        """Delete what earlier runs wrote and this one does not stand for: images that are gone, or have failed."""
        current = {name for entry in self.entries.values() for name in entry["files"]}
        for entry in stale.values():
            for name in set(entry["files"]) - current:
                confined(self.output, name).unlink(missing_ok=True)

    def _fill_valid(self) -> None:
        """Where some images say which pixels count, the others say that all do: a target reads a file per image."""
        masks = {image_id: f"{self.prefix}masks/valid/{image_id}.png" for image_id in self.entries}
        if not any(masks[image_id] in entry["files"] for image_id, entry in self.entries.items()):
            return
        self.job.kinds.setdefault("valid", "classes")
        for image_id, entry in self.entries.items():
            if masks[image_id] not in entry["files"]:
                full = np.ones((entry["facts"]["prepared_height"], entry["facts"]["prepared_width"]), np.uint8)
                path = confined(self.output, masks[image_id])
                entry["files"][masks[image_id]] = write_png(path, full, durable=False)

    def _write_table(self) -> None:
        """`<prefix>table.csv`: what is known about each image that was written, with its size before and after."""
        scalars = [name for name in self.table if name not in ("slices", "window", "given")]
        table = self.table[self.table["image_id"].isin(self.entries)][scalars]
        facts = [self.entries[image_id]["facts"] for image_id in table["image_id"]]
        columns = ["height", "width", "prepared_height", "prepared_width", "channels", "dtype"]
        sizes = pd.DataFrame(facts, columns=columns, index=table.index)
        known = pd.concat([table.drop(columns=columns, errors="ignore"), sizes], axis=1)
        write_frame(self.output / f"{self.prefix}table.csv", known)

    def yaml_lines(self) -> dict[str, Any]:
        """Arguments of `data` that read what was written."""
        lines: dict[str, Any] = {}
        if not self.entries:
            return lines
        folders = {name.split("/")[0] for entry in self.entries.values() for name in entry["files"]}
        key = {"": "images", "test_": "test_images"}.get(self.prefix)
        if key is not None:
            if f"{self.prefix}images" in folders:
                lines[key] = f"{self.prefix}images/*.{self.job.form}"
            if "val_images" in folders and self.prefix == "":
                lines["val_images"] = f"val_images/*.{self.job.form}"
            lines["test_metadata" if self.prefix else "metadata"] = f"{self.prefix}table.csv"
            lines["id_column"] = "image_id"
            if self.targets:
                lines["test_targets" if self.prefix else "targets"] = self._target_lines()
        lines["reader"] = self._reader_line()
        return lines

    def _reader_line(self) -> dict[str, Any]:
        if self.job.form == "npy":
            return {"class_path": "datamodules.readers.arrays.ArrayReader"}
        channels = {entry["facts"]["channels"] for entry in self.entries.values()}
        how = "gray" if channels == {1} else "unchanged" if channels == {4} else "rgb"
        return {"class_path": "datamodules.readers.ImageReader", "init_args": {"channels": how}}

    def _target_lines(self) -> list[dict[str, Any]]:
        lines = []
        for name, kind in self.job.kinds.items():
            init_args: dict[str, Any] = {"pattern": self.job.mask_file(name, "{image_id}"), "name": name}
            class_path = {
                "binary": "datamodules.targets.MaskFiles",
                "classes": "datamodules.targets.MaskFiles",
                "labels": "datamodules.targets.LabelImages",
                "array": "datamodules.targets.array_files.ArrayFiles",
            }[kind]
            if kind == "classes":
                init_args["classes"] = 2 if name == "valid" else self._classes(name)
            lines.append({"class_path": class_path, "init_args": init_args})
        for target in self.kept:
            line = as_yaml(target)
            if isinstance(target, Boxes):  # its names have the folders of before
                line["init_args"]["folders"] = False
            lines.append(line)
        return lines

    def kept_files(self) -> list[str]:
        """Files under the root that targets still read."""
        files = [file for target in self.kept for row in rows_of(self.table) for file in target.files(row)]
        files = [file for file in dict.fromkeys(files) if file.is_relative_to(self.data.root)]
        names = [str(file.relative_to(self.data.root)) for file in files]
        texts = [value for target in self.kept for value in vars(target).values() if isinstance(value, str)]
        return names + [text for text in texts if text.endswith(".csv")]

    def _classes(self, name: str) -> int:
        return next(target.classes for target in self.targets if getattr(target, "name", None) == name)


# --- the end ---------------------------------------------------------------------------------------------------------


def write_failures(path: Path, failures: list[dict[str, str]]) -> None:
    """Write `failed.csv`; nothing failed, no file."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    frame = pd.DataFrame(failures, columns=["image_id", "split", "path", "error"]).sort_values(["split", "image_id"])
    write_frame(path, frame)


def copy_files(root: str, names: list[str | None], output: Path) -> list[str]:
    """Copy the files that are still needed: sample submission, solution, tables of targets. Returns their names."""
    copied = []
    for name in dict.fromkeys(name for name in names if name):
        if not (Path(root) / name).is_file():
            continue
        source, goal = confined(root, name), confined(output, name)
        with atomic_path(goal) as temporary:
            shutil.copyfile(source, temporary)
        copied.append(name)
    return copied


def as_yaml(thing: Any) -> dict[str, Any]:
    """`class_path` and `init_args` of an object that keeps its arguments under their own names."""
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


def write_overlay(data: BaseDataModule, output: Path, lines: dict[str, Any]) -> Path:
    """Write `data.yaml`, an overlay of the config that reads what was written."""
    path = output / "data.yaml"
    earlier = read_yaml(path)["data"]["init_args"] if path.is_file() else {}  # other splits
    # What the config says of the files it was written for would stay under the overlay.
    gone = ("val_images", "test_images", "test_targets", "preprocessing", "train_ids", "test_ids", "id_pattern")
    lines = {key: None for key in gone if getattr(data, key, None)} | earlier | lines
    order = ["root", "images", "val_images", "test_images", "reader", "preprocessing", "targets", "test_targets"]
    lines = {key: lines[key] for key in [*order, *lines] if key in lines}
    content = {"data": {"class_path": "datamodules.ImageDataModule", "init_args": lines}}
    write_yaml(path, content)
    return path


def print_end(path: Path, steps: list[Preprocess], copied: list[str], arguments: list[str]) -> None:
    """Where everything lies, and the YAML that reads it."""
    if copied:
        more = f" and {len(copied) - 8} more" if len(copied) > 8 else ""
        print(f"copied as they are: {', '.join(copied[:8])}{more}")
    print(f"everything lies in {path.parent}; what reads it stands in {path}:\n")
    print("".join(f"    {line}\n" for line in path.read_text().splitlines()))
    if any(step.changes_shape for step in steps):
        print("images have changed their shape, and predictions will have the new one; the tables keep the old size")
    configs = [part for file in config_files(arguments) for part in ("--config", str(file))] or ["--config", "…"]
    print(f"next:  python cli.py fit {' '.join(configs)} --config {path}")

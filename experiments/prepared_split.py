"""Conversion of one split by `prepare` to plain image and mask files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.cache import identity, settings_of
from datamodules.decoder import Decoder
from datamodules.plain import BaseData
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets import Target
from datamodules.targets.boxes import ARRAYS
from experiments.conversion import Job, converted, kind_of
from experiments.prepared_journal import Entries, Journal
from files.paths import confined, text_hash
from files.png import write_png
from files.progress import progress
from files.writing import write_frame
from preprocessing.base import Preprocess

FORMAT = 1  # increase when the output format changes


class Split:
    """Convert the images of a split; existing output of the same files and settings is kept.

    Args:
        data: datamodule.
        split: `train` (all training images), `test`, or a folder of images.
        prefix: prefix of its folders.
        output: output folder.
        steps: steps after those of the datamodule.
        form: image format, `png` or `npy`.
        bits: bit depth of PNG channels: `auto`, 8 or 16.
    """

    def __init__(
        self, data: BaseData, split: str, prefix: str, output: Path, steps: list[Preprocess], form: str, bits: Any
    ) -> None:
        self.data, self.split, self.prefix, self.output = data, split, prefix, output
        tables = {"train": data.table, "test": lambda: data.split_table("test")}
        table = tables.get(split, lambda: data.split_table(split))()
        self.table = table.iloc[: data.max_images].reset_index(drop=True)
        self.targets: list[Target] = {"train": data.targets, "test": data.test_targets}.get(split, [])
        if any(target.boxes for target in self.targets) and any(step.changes_shape for step in steps):
            raise SystemExit(
                "error: a step changes the shape of images, so that boxes would no longer match; remove it"
            )
        for target in self.targets:
            target.prepare(self.table, Path(data.root))
        decoder = Decoder(data.reader, self.targets, data.preprocessing)
        self.job = Job(decoder, steps, output, prefix, form, bits)
        self.journal = Journal(output, prefix)
        self.entries: Entries = {}
        self.failures: list[dict[str, str]] = []
        self.kept: list[Target] = []  # targets that still read their original files or are derived

    def run(self, processes: int) -> None:
        """Convert missing images."""
        rows = rows_of(self.table)
        self._plan(rows)
        settings = " ".join(map(settings_of, (self.data.reader, *self.data.preprocessing, *self.job.steps)))
        settings += f" {[settings_of(target) for target in self.targets]}"
        settings = f"{FORMAT} {settings} {self.job.form} {self.job.bits} {sorted(self.job.kinds.items())}"
        known = self.journal.read()
        keys, todo = {}, []
        for row in rows:
            try:
                keys[row.image_id] = text_hash(
                    f"{settings} {self.job.image_folder(row)} {row.image_id} {identity(self.job.decoder.files(row))}"
                )
            except OSError as error:  # a listed file was deleted
                keys[row.image_id] = ""
                self.failures.append({"image_id": row.image_id, "path": str(row.path), "error": str(error)})
                continue
            entry = known.get(row.image_id)
            if entry is not None and entry["key"] == keys[row.image_id] and self.journal.is_complete(entry):
                self.entries[row.image_id] = entry
            else:
                todo.append(row)
        stale = {name: entry for name, entry in known.items() if name not in self.entries}
        if known:
            changed = sum(entry["key"] != keys.get(name) for name, entry in stale.items())
            why = f", {changed} are outdated" if changed else ""
            print(f"{self.split}: {len(self.entries)} of {len(rows)} images already prepared{why}")
        self.journal.write({**stale, **self.entries})
        with (
            open(self.journal.path, "a") as journal,
            progress(desc=f"preparing {self.split}", total=len(todo), unit=" images", show=bool(todo)) as bar,
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
        self.journal.remove(stale, self.entries)
        self._fill_valid()
        self.journal.write(self.entries)
        self._write_table()

    def _plan(self, rows: list[Row]) -> None:
        """Choose the storage kind of each target array from the first readable image; targets without are kept."""
        for row in rows if self.targets else []:
            try:
                size = self.data.reader.size(row)
                found = [target.read(row, size) for target in self.targets]
            except Exception:  # listed as failed later
                continue
            for target, arrays in zip(self.targets, found, strict=True):
                planes = {name: array for name, array in arrays.items() if array.ndim >= 2 and name not in ARRAYS}
                for name, array in planes.items():
                    self.job.kinds[name] = kind_of(target, name, array, self.job.form)
                if not arrays or len(planes) < len(arrays):
                    self.kept.append(target)
            return

    def _fill_valid(self) -> None:
        """If some images have a `valid` mask, write full masks for the others: targets read one file per image."""
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
        """Write `<prefix>table.csv`: metadata of each converted image, with its size before and after."""
        scalars = [name for name in self.table if name not in ("slices", "window", "given")]
        table = self.table[self.table["image_id"].isin(self.entries)][scalars]
        facts = [self.entries[image_id]["facts"] for image_id in table["image_id"]]
        columns = ["height", "width", "prepared_height", "prepared_width", "channels", "dtype"]
        sizes = pd.DataFrame(facts, columns=columns, index=table.index)
        known = pd.concat([table.drop(columns=columns, errors="ignore"), sizes], axis=1)
        write_frame(self.output / f"{self.prefix}table.csv", known)

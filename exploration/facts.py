"""Facts about each image and its targets, collected in parallel processes."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.decoder import Decoder, derive
from datamodules.parallel import in_processes
from datamodules.readers import Reader
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets import Target
from datamodules.targets.boxes import ARRAYS
from datamodules.windows import with_window, without_window
from files.progress import progress
from masks.void import VOID, is_id_map, joined
from preprocessing.duplicates import thumbnail
from preprocessing.hashes import bytes_hash, dihedral_hashes, pixel_hash

STATISTIC_PIXELS = 4_000_000  # above it, mean, std and percentiles use every n-th pixel
SCENE_PIXELS = 100_000_000  # above it, only the centre is read, if the reader supports it
MIDDLE = 4096  # side of the centre
PERCENTILES = (0, 1, 50, 99, 100)


@dataclass
class TargetFacts:
    """Facts about one target array of one image.

    Args:
        kind: `masks` (one channel per class), `classes` (class numbers), `instances`, `labels`, `numbers` or `boxes`.
        pixels: class name -> number of pixels (`masks`, `classes`).
        total: number of valid pixels (`masks`, `classes`, `instances`).
        areas: area of each object in pixels (`instances`, `boxes`).
        labels: class names of the image (`labels`), or of each box.
        numbers: values (`numbers`).
        derived: whether the array was derived from another one.
    """

    kind: str
    pixels: dict[str, int] = field(default_factory=dict)
    total: int = 0
    areas: np.ndarray | None = None
    labels: list[str] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    derived: bool = False


@dataclass
class ImageFacts:
    """Facts about one image.

    Args:
        image_id: id of the image.
        split: `train` or `test`.
        path: path in the table.
        files: number of files of the image.
        file_bytes: total size of the files in bytes.
        error: why the image could not be read, or None.
        target_error: why its targets could not be read, or None.
        size: spatial shape, `(H, W)`, for volumes `(D, H, W)`.
        dtype: type of the pixels.
        mean, std: mean and standard deviation per channel, `(C,)`.
        percentiles: percentiles 0, 1, 50, 99 and 100 per channel, `(5, C)`.
        valid: share of valid pixels.
        equal_channels: whether the image has three channels with the same pixels.
        partial: whether only the centre of a large scene was read.
        pixels: randomly sampled pixels `(n, C)`, for histograms over many images.
        bytes_hash, pixel_hash: see `preprocessing.hashes`.
        hashes: perceptual hashes of the rotated and flipped image, `(8,)`.
        thumbnail: `(C, 64, 64)` uint8.
        target: target array name -> facts.
    """

    image_id: str
    split: str
    path: str
    files: int = 0
    file_bytes: int = 0
    error: str | None = None
    target_error: str | None = None
    size: tuple[int, ...] = ()
    dtype: str = ""
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    percentiles: np.ndarray | None = None
    valid: float = 1.0
    equal_channels: bool = False
    partial: bool = False
    pixels: np.ndarray | None = None
    bytes_hash: str | None = None
    pixel_hash: str | None = None
    hashes: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    target: dict[str, TargetFacts] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of channels; 0 for an unreadable image."""
        return 0 if self.mean is None else len(self.mean)


@dataclass
class Examiner:
    """Reads images and targets and collects facts about them.

    Args:
        reader: reader of the datamodule.
        targets: split -> prepared targets.
        unknown: split -> image id -> why its targets are missing.
        pixels: number of pixels sampled from each image for the histograms.
    """

    reader: Reader
    targets: dict[str, list[Target]]
    unknown: dict[str, dict[str, str]]
    pixels: int = 1024

    def read_image(self, row: Row) -> tuple[np.ndarray, np.ndarray | None, Any]:
        """Read an image `(…, C)`; return it with `valid` and the row (with a window if only the centre was read)."""
        if self.reader.windowed and not hasattr(row, "window"):
            sides = self.reader.size(row)
            if np.prod(sides, dtype=np.int64) > SCENE_PIXELS:
                lengths = [min(side, MIDDLE) for side in sides]
                starts = [(side - length) // 2 for side, length in zip(sides, lengths, strict=True)]
                row = with_window(row, (*starts, *lengths))
        image, arrays = Decoder(self.reader, []).read(row)
        image = image.view(np.uint8) if image.dtype == bool else image  # statistics need numbers
        return image, arrays.get("valid"), row

    def target_arrays(
        self, row: Row, split: str, size: tuple[int, ...], valid: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Read the target arrays from files; void pixels are empty."""
        parts = []
        for target in self.targets.get(split, []):
            if target.windowed or not hasattr(row, "window"):
                parts.append(target.read(row, size))
            else:
                full = without_window(row)
                parts.append(target.read_window(full, self.reader.size(full), row.window))
        return joined(parts, valid, size)

    def facts(self, row: Row, split: str) -> ImageFacts:
        """Collect all facts about one image; a failure to read is recorded, not raised."""
        facts = ImageFacts(row.image_id, split, str(row.path))
        try:
            self._files(facts, row)
            image, valid, row = self.read_image(row)
            facts.partial = hasattr(row, "window")
            self._image(facts, image, valid)
        except Exception as error:  # decoders raise any type of exception for damaged files
            facts.error = _first_line(error)
            return facts
        facts.target_error = self.unknown.get(split, {}).get(row.image_id)
        if facts.target_error is None:
            try:
                self._target_arrays(facts, row, image.shape[:-1], valid)
            except Exception as error:
                facts.target, facts.target_error = {}, _first_line(error)
        return facts

    def _files(self, facts: ImageFacts, row: Row) -> None:
        files = [Path(file) for file in self.reader.files(row)]
        facts.files, facts.file_bytes = len(files), sum(file.stat().st_size for file in files if file.is_file())
        if files and all(file.is_file() for file in files):
            facts.bytes_hash = " ".join(bytes_hash(file) for file in files)

    def _image(self, facts: ImageFacts, image: np.ndarray, valid: np.ndarray | None) -> None:
        facts.size, facts.dtype = tuple(image.shape[:-1]), str(image.dtype)
        facts.pixel_hash = pixel_hash(image)
        middle = image[len(image) // 2] if image.ndim == 4 else image
        facts.hashes, facts.thumbnail = dihedral_hashes(middle), thumbnail(middle)
        step = -(-int(np.prod(facts.size)) // STATISTIC_PIXELS)
        values = image.reshape(-1, image.shape[-1])
        chosen = slice(None, None, step) if valid is None else np.flatnonzero(valid.reshape(-1))[::step]
        facts.valid = 1.0 if valid is None else float(valid.mean())
        values = values[chosen]
        if values.dtype.kind == "f":
            finite = np.isfinite(values).all(axis=1)
            facts.valid *= float(finite.mean()) if len(finite) else 1.0
            values = values[finite]
        if not len(values):
            values = np.zeros((1, image.shape[-1]), np.float32)  # only nodata; `valid` is 0
        facts.mean, facts.std = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
        facts.percentiles = _percentiles(values)
        facts.equal_channels = values.shape[1] == 3 and bool((values == values[:, :1]).all())
        seed = int(facts.pixel_hash[:12], 16)
        places = np.random.default_rng(seed).integers(len(values), size=min(self.pixels, len(values)))
        facts.pixels = values[places].astype(np.float32)

    def _target_arrays(self, facts: ImageFacts, row: Row, size: tuple[int, ...], valid: np.ndarray | None) -> None:
        targets = self.targets.get(facts.split, [])
        if not targets:
            return
        read = self.target_arrays(row, facts.split, size, valid)
        for name, array in derive(targets, read).items():
            if name == "valid" or (name not in read and array.ndim < 2):
                continue  # image-level targets derived from a mask add nothing to it
            if name in ARRAYS[1:] and "boxes" in read:
                continue
            owner = next((target for target in targets if owns(target, name)), None)
            found = _about(name, array, len(size), owner, read)
            found.derived = name not in read
            facts.target[name] = found


def _percentiles(values: np.ndarray) -> np.ndarray:
    """Return the percentiles `(5, C)`; uint8 by counting, twenty times faster than sorting."""
    if values.dtype != np.uint8:
        return np.percentile(values, PERCENTILES, axis=0)
    result = np.empty((len(PERCENTILES), values.shape[1]))
    for channel in range(values.shape[1]):
        counts = np.cumsum(np.bincount(values[:, channel], minlength=256))
        ranks = np.array(PERCENTILES) / 100 * (len(values) - 1) + 1
        result[:, channel] = np.searchsorted(counts, ranks)
    return result


def _about(name: str, array: np.ndarray, axes: int, owner: Target | None, read: dict) -> TargetFacts:
    names = class_names(owner)
    counted = int(np.count_nonzero(read["valid"])) if "valid" in read else int(np.prod(array.shape[-axes:]))
    if name == "boxes":
        boxes = array.reshape(-1, 4)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        labels = [_name(names, int(number)) for number in read.get("labels", [])]
        return TargetFacts("boxes", areas=areas, labels=labels)
    if array.ndim == axes + 1:
        counts = {_name(names, k, name, len(array)): int(np.count_nonzero(plane)) for k, plane in enumerate(array)}
        return TargetFacts("masks", pixels=counts, total=counted)
    if is_id_map(array, axes):
        ids, counts = np.unique(array, return_counts=True)  # ids can be up to 2^31
        return TargetFacts("instances", areas=counts[ids > 0], total=counted)
    if array.ndim == axes:
        numbers, counts = np.unique(array, return_counts=True)
        pairs = [(int(n), int(c)) for n, c in zip(numbers, counts, strict=True) if n != VOID]
        return TargetFacts("classes", pixels={_name(names, n): c for n, c in pairs}, total=sum(c for _, c in pairs))
    if array.dtype.kind in "iu":
        return TargetFacts("labels", labels=[_name(names, int(number)) for number in array.reshape(-1)])
    values = array.reshape(-1)
    if getattr(owner, "kind", None) == "ordinal":
        return TargetFacts("labels", labels=[_name(names, int(values.sum()))])
    if np.isin(values, (0, 1)).all():
        return TargetFacts("labels", labels=[_name(names, k, name, len(values)) for k in np.flatnonzero(values)])
    return TargetFacts("numbers", numbers=[float(value) for value in values])


def owns(target: Target, name: str) -> bool:
    """Whether a target made an array; boxes have no name of their own."""
    return target.boxes if name == "boxes" else getattr(target, "name", None) == name


def class_names(target: Target | None) -> list[str]:
    """Return the class names of a target; empty if it has none."""
    return (target.class_names(target.root) if target is not None and hasattr(target, "root") else None) or []


def _name(names: list[str], number: int, array: str = "", count: int = 0) -> str:
    if number < len(names):
        return names[number]
    return array if array and count == 1 else f"{array} {number}".strip()


def _first_line(error: Exception) -> str:
    text = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if text else type(error).__name__


# --- many ------------------------------------------------------------------------------------------------------------


def gather(
    examiner: Examiner, rows: list[tuple[Row, str]], processes: int | None, show: bool = True
) -> list[ImageFacts]:
    """Collect the facts of all rows, in order.

    Args:
        examiner: reader of images and targets.
        rows: pairs of table row and split.
        processes: number of worker processes (default: one per available CPU); 1 uses this process.
        show: whether to show a progress bar.

    Raises:
        RuntimeError: if a worker process dies, for example in a decoder.
    """
    count = min(cpus() if processes is None else processes, max(1, len(rows)))
    chunk = max(1, min(16, len(rows) // (count * 4)))
    cure = "use --processes 1 to see at which image"
    found = in_processes(partial(_one, examiner), rows, count, chunk, cure)
    return list(progress(found, "reading", len(rows), " images", show))


def _one(examiner: Examiner, task: tuple[Row, str]) -> ImageFacts:
    return examiner.facts(*task)


def cpus() -> int:
    """Return the number of CPUs available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_targets(
    targets: Sequence[Target], table: pd.DataFrame, root: Path
) -> tuple[list[Target], dict[str, str], list[str]]:
    """Prepare targets, and find the images for which preparation fails.

    `Target.prepare` raises an error for missing targets. To continue the report, the table is bisected until each error
    is about one image, and the target is prepared with the others.

    Args:
        targets: targets of the datamodule.
        table: table of images.
        root: `data.root`.

    Returns:
        The usable targets; image id -> error of its targets; errors of targets that cannot be used at all.
    """
    usable: list[Target] = []
    wrong: dict[str, str] = {}
    fatal: list[str] = []
    lost: set[str] = set()
    for target in targets:
        if getattr(target, "source", None) in lost:
            continue  # derived from a missing target
        found, message = _blame(lambda part, target=target: target.prepare(part, root), table)
        if message is not None:
            fatal.append(f"{type(target).__name__}: {message}")
            lost.add(getattr(target, "name", ""))
            continue
        rest = table[~table["image_id"].isin(found)]
        if found:
            target.prepare(rest, root)
        usable.append(target)
        wrong |= found
    return usable, wrong, fatal


def _blame(
    prepare: Callable[[pd.DataFrame], None], table: pd.DataFrame, max_images: int = 50
) -> tuple[dict, str | None]:
    """Return the images for which `prepare` fails, or the error message if they are too many to list."""
    found: dict[str, str] = {}
    waiting = [table]
    while waiting:
        part = waiting.pop()
        try:
            prepare(part)
        except Exception as error:
            if len(part) == 1:
                found[part["image_id"].iloc[0]] = _first_line(error)
                if len(found) > max_images or len(found) == len(table):
                    return {}, found[part["image_id"].iloc[0]]
                continue
            middle = len(part) // 2
            waiting += [part.iloc[middle:], part.iloc[:middle]]
    return found, None


def rows_with_split(tables: dict[str, pd.DataFrame]) -> list[tuple[Row, str]]:
    """Return pairs of row and split for all splits."""
    return [(row, split) for split, table in tables.items() for row in rows_of(table)]

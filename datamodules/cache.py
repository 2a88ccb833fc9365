"""A cache of decoded images and targets, in memory or in memory-mapped files."""

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.decoder import Arrays, Decoder
from datamodules.parallel import in_processes
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets.boxes import ARRAYS, cut_lists
from datamodules.windows import Window, crop
from files.atomic import atomic_path
from files.paths import file_hash, text_hash
from files.progress import progress
from files.texts import read_json
from files.writing import write_json

FORMAT = 2  # increment if the layout of a shard or the result of a decoder changes
BITS = "bits"
Field = tuple[str, str, list[int], int, str]  # name, type, shape, offset in the shard, stored type


class DecodedCache:
    """Reads like a `Decoder`, from images and targets decoded once.

    Images keep their type; masks of 0 and 1 take one bit per pixel, ids the smallest sufficient type. The key of an
    entry covers everything it was made from (path, size and time of each file; settings and code of reader and
    targets), so only entries of changed files or settings are decoded again. Entries are stored in shards of several
    images; on disk only complete shards count, so an interrupted build resumes where it stopped.

    Args:
        decoder: decoder of missing entries.
        folder: folder of memory-mapped shards; None keeps shards in this process, shared with forked loader processes.
            With several GPUs use a folder: its pages are in memory once for all ranks.
        workers: number of processes that decode.
    """

    def __init__(self, decoder: Decoder, folder: Path | None = None, workers: int = 0) -> None:
        self.decoder, self.folder, self.workers = decoder, folder, workers
        self.places: dict[str, tuple[str, list[Field]]] = {}
        self._known: dict[str, tuple[str, list[Field]]] = {}
        self._shards: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled with all its bytes.
        return self.__dict__ | ({"_shards": {}} if self.folder is not None else {})

    def read(self, row: Row) -> tuple[np.ndarray, Arrays]:
        """Return the image `(H, W, C)` and the target arrays, as writable copies.

        For a row with a window, only that part is copied.
        """
        shard, fields = self.places[row.image_id]
        if shard not in self._shards:
            self._shards[shard] = np.memmap(self.folder / f"{shard}.bin", np.uint8, mode="r")
        buffer = self._shards[shard]
        window = getattr(row, "window", None)
        arrays = {field[0]: _unpack(buffer, field, window) for field in fields}
        if window is not None:
            arrays |= cut_lists(arrays, window)
        return arrays.pop("image"), arrays

    def build(self, table: pd.DataFrame, show: bool = True) -> None:
        """Decode the rows that are missing.

        Args:
            table: table with `image_id, path, …`.
            show: whether to show a progress bar.

        Raises:
            ImageReadError, ValueError: if reader or targets fail; names the file.
            MemoryError: if there is too little free memory or disk space; says how much is needed.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for index in self.folder.glob("*.json"):
                self._learn(index.stem, read_json(index))
        settings = f"{FORMAT} {[settings_of(part) for part in self.decoder.parts()]}"
        rows = rows_of(table)
        keys = [text_hash(f"{settings} {row.image_id} {identity(self.decoder.files(row))}") for row in rows]
        missing = [(key, row) for key, row in zip(keys, rows, strict=True) if key not in self._known]
        if missing:
            self._decode(missing, show)
        self.places |= {row.image_id: self._known[key] for key, row in zip(keys, rows, strict=True)}

    def _decode(self, missing: list[tuple[str, Any]], show: bool) -> None:
        step = max(8, len(missing) // 256)  # at most 256 shards: each keeps a file open
        chunks = [missing[start : start + step] for start in range(0, len(missing), step)]
        shards = in_processes(_Shards(self.decoder, self.folder), chunks, self.workers)
        with progress(desc="decoding", total=len(missing), unit=" images", show=show) as bar:
            for number, (shard, entries, content, size) in enumerate(shards):
                if number == 0:
                    self._check_room(size * len(chunks), size, len(missing))
                if content is not None:
                    self._shards[shard] = np.frombuffer(content, np.uint8)
                self._learn(shard, entries)
                bar.update(len(entries))

    def _learn(self, shard: str, entries: dict[str, list]) -> None:
        for key, fields in entries.items():
            self._known[key] = shard, [tuple(field) for field in fields]

    def _check_room(self, need: int, have: int, count: int) -> None:
        free = free_memory() if self.folder is None else shutil.disk_usage(self.folder).free
        if free is not None and need - have > free:
            kind, where, other = (
                ("ram", "memory", "disk") if self.folder is None else ("disk", str(self.folder), "none")
            )
            raise MemoryError(
                f"data.cache: {kind} needs about {need / 1e9:.1f} GB for {count} images, but only {free / 1e9:.1f} GB "
                f"are free in {where}; set data.cache: {other}"
            )


class _Shards:
    """Decodes rows into one shard: a file with an index file, or bytes."""

    def __init__(self, decoder: Decoder, folder: Path | None) -> None:
        self.decoder, self.folder = decoder, folder

    def __call__(self, chunk: list[tuple[str, Any]]) -> tuple[str, dict[str, list[Field]], bytes | None, int]:
        shard = text_hash(" ".join(key for key, _ in chunk))
        if self.folder is None:
            content = bytearray()
            entries, size = self._fill(chunk, content.extend)
            return shard, entries, bytes(content), size
        with atomic_path(self.folder / f"{shard}.bin") as temporary, open(temporary, "wb") as handle:
            entries, size = self._fill(chunk, handle.write)
        write_json(self.folder / f"{shard}.json", entries, indent=None)
        return shard, entries, None, size

    def _fill(self, chunk: list[tuple[str, Any]], write: Callable) -> tuple[dict[str, list[Field]], int]:
        entries, offset = {}, 0
        for key, row in chunk:
            image, arrays = self.decoder.read(row)
            fields = []
            for name, array in {"image": image, **arrays}.items():
                content, stored = (array, array.dtype.str) if name == "image" else _pack(array)
                fields.append((name, array.dtype.str, list(array.shape), offset, stored))
                content = content.tobytes()
                padding = -len(content) % 64
                write(content + bytes(padding))
                offset += len(content) + padding
            entries[key] = fields
        return entries, offset


def _pack(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the array in the smallest type that holds its values, and the name of that type."""
    if array.dtype == bool or (array.dtype.kind in "ui" and array.size and array.min() >= 0 and array.max() <= 1):
        return np.packbits(array.astype(bool)), BITS
    if array.dtype.kind in "ui" and array.size and array.min() >= 0:
        small = np.min_scalar_type(array.max())
        return array.astype(small), np.dtype(small).str
    return array, array.dtype.str


def _unpack(buffer: np.ndarray, field: Field, window: Window | None = None) -> np.ndarray:
    name, dtype, shape, offset, stored = field
    spatial = window is not None and name not in ARRAYS and (name == "image" or len(shape) >= len(window) // 2)
    count = int(np.prod(shape))
    if stored == BITS:
        bits = np.unpackbits(buffer[offset : offset + -(-count // 8)], count=count).reshape(shape)
        bits = crop(bits, window) if spatial else bits
        return bits.view(dtype) if np.dtype(dtype).itemsize == 1 else bits.astype(dtype)
    length = count * np.dtype(stored).itemsize
    array = buffer[offset : offset + length].view(stored).reshape(shape)
    return (crop(array, window, channels=name == "image") if spatial else array).astype(dtype)


def settings_of(thing: Any) -> str:
    """Return class, code hash and constructor arguments of a reader, target or step, as text.

    The code is the file of the class and those whose names begin with its name: `dicom.py`, `dicom_pixels.py`.
    """
    kind = type(thing)
    names = [name for name in inspect.signature(kind).parameters if hasattr(thing, name)]
    arguments = {name: getattr(thing, name) for name in names}
    file = Path(inspect.getfile(kind))
    code = " ".join(file_hash(part) for part in (file, *sorted(file.parent.glob(f"{file.stem}_*.py"))))
    return f"{kind.__module__}.{kind.__qualname__} {code} {_shown(arguments)}"


def _shown(value: Any) -> str:
    """Return a setting as text; for an object (a reader in a reader) its class and settings, not its address."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return settings_of(value) if type(value).__repr__ is object.__repr__ else repr(value)


def identity(files: Sequence[Path | str]) -> str:
    """Return a hash of path, size and modification time of each file."""
    digest = hashlib.sha256()
    for file in files:
        facts = os.stat(file)
        digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def free_memory() -> int | None:
    """Return the available memory in bytes; None if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)

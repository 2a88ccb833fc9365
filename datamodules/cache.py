"""Decoded images and truth, kept in memory or in memory-mapped files."""

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from datamodules.decoder import Arrays, Decoder
from datamodules.parallel import in_processes
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets.boxes import ARRAYS, cut_lists
from datamodules.windows import Window, crop
from files.atomic import atomic_path
from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import write_json

FORMAT = 2  # raise it when the layout of a shard changes, or what a decoder makes of what reader and targets read
BITS = "bits"
Field = tuple[str, str, list[int], int, str]  # name, type, shape, offset in the shard, type it is stored as


class DecodedCache:
    """Reads like a `Decoder`, from pixels that were decoded once.

    Images stay in their own type, masks of 0 and 1 take a bit a pixel, ids the smallest type that holds them. An entry
    is known by the identity of what made it (path, size and time of each file; settings and code of reader and
    targets), so that a changed file or setting is decoded again and nothing else is. Entries lie in shards of some
    images; on disk a shard counts once it is complete, so that a build that was killed goes on where it stopped.

    Args:
        decoder: reads what is not there yet.
        folder: where shards lie, memory-mapped; None keeps them in this process, and loader processes that are forked
            from it share them. With several GPUs take a folder: its pages exist once for all ranks.
        workers: processes that decode.
    """

    def __init__(self, decoder: Decoder, folder: Path | None = None, workers: int = 0) -> None:
        self.decoder, self.folder, self.workers = decoder, folder, workers
        self.places: dict[str, tuple[str, list[Field]]] = {}
        self._known: dict[str, tuple[str, list[Field]]] = {}
        self._shards: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as all its bytes.
        return self.__dict__ | ({"_shards": {}} if self.folder is not None else {})

    def read(self, row: Row) -> tuple[np.ndarray, Arrays]:
        """Image `(H, W, C)` and the arrays of the targets, as fresh arrays that may be written to.

        Of a row with a window only that part is copied.
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
        """Decode the rows that are not there yet.

        Args:
            table: rows of `image_id, path, …`.
            show: draw a progress bar.

        Raises:
            ImageReadError, ValueError: from reader and targets; names the file.
            MemoryError: less memory or disk is free than all the rows need; says how much.
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
        step = max(8, len(missing) // 256)  # 256 shards at most: each holds a file open
        chunks = [missing[start : start + step] for start in range(0, len(missing), step)]
        shards = in_processes(_Shards(self.decoder, self.folder), chunks, self.workers)
        with tqdm(total=len(missing), desc="decoding", unit=" images", disable=not show) as bar:
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
                f"data.cache: {kind} needs about {need / 1e9:.1f} GB for {count} images, {free / 1e9:.1f} GB are free "
                f"in {where}; set data.cache: {other}"
            )


class _Shards:
    """Decodes some rows into one shard: a file with its index beside it, or bytes."""

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
    """The array in the smallest type that holds its values, and the name of that type."""
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
    """Class, code and constructor arguments of a reader, target or step, as text.

    Its code is the file of the class and those beside it that begin with its name: `dicom.py`, `dicom_pixels.py`.
    """
    kind = type(thing)
    names = [name for name in inspect.signature(kind).parameters if hasattr(thing, name)]
    arguments = {name: getattr(thing, name) for name in names}
    file = Path(inspect.getfile(kind))
    code = " ".join(file_hash(part) for part in (file, *sorted(file.parent.glob(f"{file.stem}_*.py"))))
    return f"{kind.__module__}.{kind.__qualname__} {code} {_shown(arguments)}"


def _shown(value: Any) -> str:
    """A setting as text; of an object (a reader in a reader) its class and settings, not its place in memory."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return settings_of(value) if type(value).__repr__ is object.__repr__ else repr(value)


def identity(files: Sequence[Path | str]) -> str:
    """Path, size and time of change of each file, as a hash."""
    digest = hashlib.sha256()
    for file in files:
        facts = os.stat(file)
        digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def free_memory() -> int | None:
    """Bytes of memory that can still be taken; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)

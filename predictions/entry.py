"""Writer of one image's file in a prediction store."""

import contextlib
import io
import json
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from files.atomic import beside, publish
from predictions.quantiser import STEPS, Stored, stored_as, to_steps

STRIP_ROWS = 256


class PredictionFile:
    """Write whole arrays, or maps strip by strip, within `with`; the file appears complete at the end, or not at all.

    Args:
        path: path of the file.
        image_id: image id, stored in the file.
        dtype: `uint8` stores maps `(C, H, W)` with values in 0..1 in steps of 1/255, and other floats (image-level
            outputs, boxes, embeddings) as float32; `float16` and `float32` store all floats in that type.
    """

    def __init__(self, path: Path, image_id: str, dtype: Stored = "uint8") -> None:
        self.path, self.image_id, self.dtype = path, image_id, dtype
        path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = beside(path)
        self._zip = zipfile.ZipFile(self.temporary, "x", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._header: dict[str, dict[str, Any]] = {}
        self._discarded = False
        self._waiting: dict[str, list[np.ndarray]] = {}  # rows of maps that do not fill a strip yet

    def add_rows(self, name: str, rows: np.ndarray, unit: bool) -> None:
        """Add the next rows of a map.

        Args:
            name: name of the output.
            rows: rows `(C, rows, W)` float, from top to bottom.
            unit: whether values of the map are in 0..1, so that `uint8` can store them.

        Raises:
            ValueError: NaN or infinite values, which bytes would turn into 0; names image and map.
        """
        scale = float(STEPS) if unit and self.dtype == "uint8" else None
        if scale and not np.isfinite(rows.sum()):
            raise ValueError(
                f"output {name!r} of image {self.image_id!r} from the network has NaN or infinite values; predict with "
                "another checkpoint"
            )
        stored = to_steps(rows) if scale else rows.astype("float32" if self.dtype == "uint8" else self.dtype)
        if name not in self._header:
            shape = [rows.shape[0], 0, rows.shape[2]]
            self._header[name] = {"shape": shape, "dtype": str(stored.dtype), "scale": scale, "strips": 0}
        self._header[name]["shape"][1] += rows.shape[1]
        waiting = self._waiting.setdefault(name, [])
        waiting.append(stored)
        count = sum(part.shape[1] for part in waiting)
        if count >= STRIP_ROWS:
            joined = np.concatenate(waiting, axis=1)
            whole = count - count % STRIP_ROWS
            for first in range(0, whole, STRIP_ROWS):
                self._add_strip(name, joined[:, first : first + STRIP_ROWS])
            self._waiting[name] = [joined[:, whole:].copy()]

    def add(self, name: str, array: np.ndarray) -> None:
        """Add an array of any rank and type."""
        stored, scale = stored_as(np.asarray(array), self.dtype)
        shape = list(stored.shape)
        self._header[name] = {"shape": shape, "dtype": str(stored.dtype), "scale": scale, "strips": 0}
        rows = stored.shape[-2] if stored.ndim >= 2 else 1
        for first in range(0, max(rows, 1), STRIP_ROWS):
            self._add_strip(name, stored[..., first : first + STRIP_ROWS, :] if stored.ndim >= 2 else stored)

    def add_zeros(self, name: str, shape: tuple[int, ...]) -> None:
        """Add a map `(C, H, W)` of zeros."""
        for first in range(0, shape[1], STRIP_ROWS):
            height = min(STRIP_ROWS, shape[1] - first)
            self.add_rows(name, np.zeros((shape[0], height, shape[2]), np.float32), unit=True)

    def discard(self) -> None:
        """Discard the file instead of publishing it."""
        self._discarded = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array by name; of maps as written so far."""
        return {name: tuple(entry["shape"]) for name, entry in self._header.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._discarded:
                self._finish()
        finally:
            with contextlib.suppress(OSError):  # the disk may be full
                self._zip.close()
            self.temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        for name, waiting in self._waiting.items():
            if sum(part.shape[1] for part in waiting):
                self._add_strip(name, np.concatenate(waiting, axis=1))
        self._zip.writestr("header.json", json.dumps({"image_id": self.image_id, "arrays": self._header}))
        self._zip.close()
        publish(self.temporary, self.path, durable=False)  # there are thousands; damaged ones are detected and remade

    def _add_strip(self, name: str, part: np.ndarray) -> None:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(part), allow_pickle=False)
        number = self._header[name]["strips"]
        self._zip.writestr(f"{name}.{number}.npy", buffer.getvalue())
        self._header[name]["strips"] = number + 1

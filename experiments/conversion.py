"""Conversion of images and targets to plain files, in one or several processes."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.decoder import Decoder
from datamodules.readers.images import read_picture
from datamodules.row import Row
from datamodules.targets import Target
from files.paths import confined
from files.png import write_png
from files.writing import write_array
from preprocessing.base import Preprocess

Kind = Literal["binary", "classes", "labels", "array"]


@dataclass
class Job:
    """Settings of a conversion worker.

    Args:
        decoder: reader of image and targets.
        steps: preprocessing steps of both.
        output: output folder.
        prefix: prefix of the folders of the split.
        form: image format, `png` or `npy`.
        bits: bit depth of PNG channels: `auto`, 8 or 16.
        kinds: storage kind of each target array to write, by name.
    """

    decoder: Decoder
    steps: list[Preprocess]
    output: Path
    prefix: str
    form: str
    bits: Literal["auto", 8, 16]
    kinds: dict[str, Kind] = field(default_factory=dict)

    def image_folder(self, row: Row) -> str:
        """Folder of a row's image; given validation images have their own folder."""
        return "val_images" if self.prefix == "" and getattr(row, "given", False) else f"{self.prefix}images"

    def mask_file(self, name: str, image_id: str) -> str:
        """File of a target array, relative to the output folder."""
        return f"{self.prefix}masks/{name}/{image_id}.{'npy' if self.kinds[name] == 'array' else 'png'}"

    def convert(self, row: Row) -> dict[str, Any]:
        """Write the files of a row.

        Returns:
            File sizes in bytes by path relative to the output folder, and facts; or `error` if the row cannot be read
            or converted.

        Raises:
            OSError: if the output is not writable.
        """
        try:
            contents, facts = self._contents(row)
        except Exception as error:  # a damaged file may raise any error; it is listed, and other images continue
            return {"image_id": row.image_id, "path": str(row.path), "error": f"{type(error).__name__}: {error}"}
        files = {}
        for name, array in contents.items():
            path = confined(self.output, name)
            files[name] = (
                write_png(path, array, durable=False)
                if path.suffix == ".png"
                else write_array(path, array, durable=False)
            )
        if facts["deep_colour"]:
            error = self._lost(row, contents)
            if error:
                for name in files:
                    (self.output / name).unlink(missing_ok=True)
                return {"image_id": row.image_id, "path": str(row.path), "error": error}
        return {"image_id": row.image_id, "files": files, "facts": facts}

    def _contents(self, row: Row) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if "/" in row.image_id:
            raise ValueError(f"the id {row.image_id!r} contains '/', which is not possible in a file name")
        image, arrays = self.decoder.read(row)
        facts = {"height": image.shape[0], "width": image.shape[1]}
        targets = {name: array for name, array in arrays.items() if name in self.kinds or name == "valid"}
        for step in self.steps:
            image = step.image(image)
            targets = {name: _masked(step, array) for name, array in targets.items()}
        for name, array in targets.items():
            if array.shape[-2:] != image.shape[:2]:
                raise ValueError(f"{name!r} has the shape {array.shape} after the steps, its image {image.shape}")
        facts |= {"prepared_height": image.shape[0], "prepared_width": image.shape[1], "channels": image.shape[2]}
        image = to_depth(image, self.bits)
        facts |= {"dtype": str(image.dtype), "deep_colour": False}
        if self.form == "png":
            if image.dtype not in (np.uint8, np.uint16) or image.shape[2] not in (1, 3, 4):
                raise ValueError(f"PNG does not support {image.dtype} with {image.shape[2]} channels; use --format npy")
            if image.shape[2] == 3 and (image == image[..., :1]).all():
                image = image[..., :1]  # grayscale, repeated by the reader; `channels: rgb` repeats it again
            facts["deep_colour"] = image.dtype == np.uint16 and image.shape[2] > 1
        contents = {f"{self.image_folder(row)}/{row.image_id}.{self.form}": image}
        for name, array in targets.items():
            kind = self.kinds.setdefault(name, "classes")  # `valid` may be missing in the first image
            contents[self.mask_file(name, row.image_id)] = storable(array, name, kind)
        return contents, facts

    def _lost(self, row: Row, contents: dict[str, np.ndarray]) -> str | None:
        """Error message if the image reader cannot restore 16-bit colour."""
        name, image = next(iter(contents.items()))
        read = read_picture(self.output / name, "unchanged")
        if read.dtype == image.dtype and (read == image).all():
            return None
        return "ValueError: 16-bit colour would be read from PNG with 8 bits; use --format npy"


def _masked(step: Preprocess, array: np.ndarray) -> np.ndarray:
    return step.mask(array.astype(np.uint8)).astype(bool) if array.dtype == bool else step.mask(array)


def to_depth(image: np.ndarray, bits: Literal["auto", 8, 16]) -> np.ndarray:
    """Convert an image to 8 or 16 bits, scaling the full range; `auto` keeps it unchanged.

    Raises:
        ValueError: if the image is not unsigned integer, and has no full range.
    """
    if bits == "auto":
        return image
    wanted = np.dtype(f"uint{bits}")
    if image.dtype == wanted:
        return image
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"the image is {image.dtype}, expected unsigned integers for --bits {bits}; window it, or set --bits auto"
        )
    return image.astype(np.uint16) * 257 if bits == 16 else ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def storable(array: np.ndarray, name: str, kind: Kind) -> np.ndarray:
    """A target array as stored in its file: binary masks as 0 and 255, class numbers and ids unchanged."""
    if kind == "array":
        return array
    plane = array[0] if kind == "binary" and array.ndim == 3 and len(array) == 1 else array
    if plane.ndim != 2:
        raise ValueError(f"{name!r} has the shape {array.shape}, but a single plane in other images")
    low, high = (int(plane.min()), int(plane.max())) if plane.size else (0, 0)
    most = {"binary": 1, "classes": 65535, "labels": 65535}[kind]
    if low < 0 or high > most:
        raise ValueError(f"{name!r} contains {low} … {high}, expected 0 … {most} for a {kind} image; use --format npy")
    if kind == "binary":
        return plane.astype(np.uint8) * 255
    return plane.astype(np.uint16 if high > 255 else np.uint8)


def kind_of(target: Target, name: str, array: np.ndarray, form: str) -> Kind:
    """Storage kind of a target array, from which a target reads the same values."""
    if name == "valid":
        return "classes"
    if form == "npy" or array.ndim > 3 or (array.ndim == 3 and len(array) > 1):
        return "array"
    if array.ndim == 3:
        return "binary" if array.dtype in (np.uint8, bool) and array.max(initial=0) <= 1 else "array"
    if array.dtype in (np.uint16, np.int32):
        return "labels"
    is_classes = isinstance(getattr(target, "classes", None), int) and getattr(target, "name", None) == name
    return "classes" if is_classes and array.dtype == np.int64 else "array"


def converted(job: Job, rows: list[Row], processes: int) -> Iterator[dict[str, Any]]:
    """Convert rows in several processes; yields results in order of completion."""
    try:
        if processes == 1 or len(rows) < 2:
            yield from map(job.convert, rows)
            return
        pool = ProcessPoolExecutor(min(processes, len(rows)), initializer=_start, initargs=(job,))
        try:
            for done in as_completed([pool.submit(_convert, row) for row in rows]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise SystemExit(f"error: {error}; finished images are kept, the same command resumes") from error
    except BrokenProcessPool:
        raise SystemExit(
            "error: a worker was killed, probably out of memory; run the same command with fewer --processes to resume"
        ) from None


_JOB: Job | None = None


def _start(job: Job) -> None:
    global _JOB
    import cv2

    cv2.setNumThreads(0)  # there is already one process per CPU
    _JOB = job


def _convert(row: Row) -> dict[str, Any]:
    return _JOB.convert(row)

"""Images of a glob: splits, sizes, type of the pixels."""

import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.readers import ImageReader, Reader
from datamodules.table import ID, find_images, rows_of
from exploration.layouts.found import evenly

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".dcm")
TRAIN = re.compile(r"(?<![a-z])train(ing)?(?![a-z])", re.IGNORECASE)
OTHERS = {"test": ("test", "testing"), "val": ("val", "valid", "validation")}
HEADERS = 400  # images whose headers are read
DECODED = 24  # images whose pixels are read
WILD = re.compile(r"[*?\[{]")


@dataclass
class ImagesFound:
    """Images of a data set.

    Args:
        root: folder of all files.
        pattern: glob of the training images under `root`.
        test: glob of the test images, or None.
        val: glob of the validation images of the author's split, or None.
        table: table of the training images.
        sizes: `(n, 2)` heights and widths of some of them.
        channels: number of channels that the network gets.
        reader: `rgb` or `unchanged` channels of `ImageReader`; None for DICOM.
        input_range: pixel value that means 1.
        mean, std: of each channel in 0..1; None for those of ImageNet.
        found: sentences on what was found.
        assumed: sentences on what was assumed.
    """

    root: Path
    pattern: str
    test: str | None
    val: str | None
    table: pd.DataFrame
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    channels: int = 3
    reader: Literal["rgb", "unchanged"] | None = "rgb"
    input_range: float = 255
    mean: list[float] | None = None
    std: list[float] | None = None
    found: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def as_glob(text: str) -> str:
    """A glob from a glob or a folder, relative to the working folder or absolute.

    Raises:
        FileNotFoundError: a folder without images.
    """
    path = Path(text)
    if not path.is_dir():
        return path.as_posix()
    endings = [file.suffix for file in sorted(path.iterdir()) if file.suffix.lower() in ENDINGS]
    if not endings:
        raise FileNotFoundError(f"no images: {path} has no file that ends in {', '.join(ENDINGS)}; give a glob")
    return f"{path.as_posix()}/*{max(set(endings), key=endings.count)}"


def static_part(pattern: str) -> Path:
    """The folders of a pattern before its first wildcard or key."""
    parts = Path(pattern).parts
    first = next((number for number, part in enumerate(parts) if WILD.search(part)), len(parts) - 1)
    return Path(*parts[:first])


def common_root(*patterns: str | None) -> Path:
    """The deepest folder that contains all files of some patterns."""
    folders = [static_part(pattern).as_posix() for pattern in patterns if pattern is not None]
    return Path(os.path.commonpath(folders)) if any(folders) else Path()


def under(root: Path, pattern: str) -> str:
    """A pattern relative to the root."""
    return Path(os.path.relpath(pattern, root)).as_posix()


def train_only(pattern: str) -> str:
    """The pattern with `train` in place of a wildcard folder that stands for train, val and test."""
    parts = list(Path(pattern).parts)
    for number, part in enumerate(parts[:-1]):
        if not WILD.search(part):
            continue
        names = {Path(path).parts[number] for path in glob.glob(pattern)}
        train = [name for name in names if TRAIN.search(name)]
        if len(train) == 1 and len(names) > 1:
            parts[number] = train[0]
    return Path(*parts).as_posix()


def other_split(pattern: str, split: str) -> str | None:
    """The glob of the images of another split beside those of `train`, if there are any.

    Args:
        pattern: glob of the training images.
        split: `test` or `val`.
    """
    static, candidates = static_part(pattern), []
    for name in OTHERS[split]:
        parts = Path(pattern).parts
        for number, part in enumerate(parts):
            if TRAIN.search(part):
                candidates.append(Path(*parts[:number], TRAIN.sub(name, part), *parts[number + 1 :]).as_posix())
        last = parts[-1]
        if not TRAIN.search(pattern):
            candidates += [
                (folder / tail).as_posix()
                for folder in (static.parent, static)
                for tail in (
                    f"{name}/{last}",
                    f"{name}/images/{last}",
                    f"{name}_images/{last}",
                    f"images/{name}/{last}",
                )
            ]
    return next((one for one in candidates if one != pattern and any(map(os.path.isfile, glob.iglob(one)))), None)


def find(images: str, test: str | None, *labels: str | None) -> ImagesFound:
    """Find the images of a data set.

    Args:
        images: glob or folder of the training images.
        test: glob or folder of the test images, or None to look for them.
        labels: paths or patterns of the labels, which share the root.

    Raises:
        FileNotFoundError: no image matches.
        ValueError: two images have the same id.
    """
    pattern = train_only(as_glob(images))
    given = as_glob(test) if test is not None else other_split(pattern, "test")
    val = other_split(pattern, "val")
    root = common_root(pattern, given, val, *labels)
    pattern, table = _table(root, under(root, pattern))
    tested = None if given is None else _table(root, under(root, given))[0]
    result = ImagesFound(root, pattern, tested, None if val is None else under(root, val), table)
    result.found.append(f"{len(table)} images: {root / pattern}")
    if given is None or tested is None:
        result.assumed.append(
            "no test images, so there is nothing to submit; name them with --test, or set test_images"
        )
    else:
        count = len(find_images(root, tested, "test"))
        result.found.append(f"{count} test images: {root / tested}")
    return result


def _table(root: Path, pattern: str) -> tuple[str, pd.DataFrame]:
    """The table of a glob; a folder per image gives the ids if file names repeat."""
    try:
        return pattern, find_images(root, pattern)
    except ValueError:
        parts = list(Path(pattern).parts)
        wild = [number for number, part in enumerate(parts[:-1]) if part == "*"]
        if not wild:
            raise
        parts[wild[-1]] = ID
        pattern = Path(*parts).as_posix()
        return pattern, find_images(root, pattern)


def measure(found: ImagesFound) -> None:
    """Read headers and some pixels: sizes, channels, type, range, mean and std.

    Raises:
        ImageReadError: an image cannot be read; names it.
    """
    rows = rows_of(found.table)
    if rows[0].path.lower().endswith(".dcm"):
        found.reader, found.sizes = None, np.array([[512, 512]])
        found.found.append("DICOM, shown by its own window in three equal channels")
        return
    reader: Reader = ImageReader(channels="unchanged")
    headers = evenly(rows, HEADERS)
    found.sizes = np.array([reader.size(row) for row in headers])
    kinds = {reader.pixels(row) for row in headers}
    channels = {kind.channels for kind in kinds if kind is not None}
    if channels - {1, 3, 4}:
        found.reader, found.channels = "unchanged", max(channels)
    sampled = ImageReader(channels=found.reader or "rgb")
    images = [sampled.read(row) for row in evenly(rows, DECODED)]
    low, high = (int(size.prod()) for size in (found.sizes.min(0), found.sizes.max(0)))
    shown = (
        "x".join(map(str, found.sizes[0]))
        if low == high
        else "{}x{} to {}x{}".format(
            *found.sizes[found.sizes.prod(1).argmin()], *found.sizes[found.sizes.prod(1).argmax()]
        )
    )
    kind = images[0].dtype
    found.found.append(f"sizes {shown} (height x width), {kind}, {_shown(channels)} channels")
    found.input_range = range_of(images)
    if kind == np.uint8 and found.channels == 3:
        return
    found.assumed.append(f"pixel value {found.input_range:g} means 1.0 (input_range); mean and std were measured")
    pixels = np.concatenate([image.reshape(-1, image.shape[2])[::17] for image in images]) / found.input_range
    found.mean = [round(float(value), 4) for value in pixels.mean(0)]
    found.std = [round(max(float(value), 1e-3), 4) for value in pixels.std(0)]


def range_of(images: list[np.ndarray]) -> float:
    """The pixel value that means 1: of the type, of 10 and 12 bits in 16, or the largest of floats."""
    kind, high = images[0].dtype, max(float(image.max()) for image in images)
    if kind == np.uint8:
        return 255.0
    if kind.kind in "iu":
        return next((float(top) for top in (1023, 4095, 65535) if high <= top), high)
    return 1.0 if high <= 1.5 else 255.0 if high <= 255 else high


def _shown(channels: set[int]) -> str:
    return " or ".join(map(str, sorted(channels)))

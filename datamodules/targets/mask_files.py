"""One mask file per image: binary, or class numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.readers.images import read_picture
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from masks.void import VOID

WHITE = (1, 255, 65535)  # values of 1 in a binary mask
MIDDLE = 64, 192  # range of a compressed mask between black and white


class ClassNumbers(FilePerImage):
    """Base class of targets whose files have class numbers if there are several classes, else a binary mask."""

    name: str

    def adopts_classes(self, count: int) -> bool:
        return count > 1 and self.name != "valid"


class NumberedMasks(ClassNumbers):
    """Masks in one file per image that contains class numbers, or values mapped to them.

    Args:
        pattern: path under `data.root` with `{image_id}` (`datamodules.targets.patterns`).
        name: name of the array.
        classes: number of classes, or their names; None for binary masks, unless `data.classes` names several.
        ignore: file value of void pixels (default: 255 for class numbers, none for binary masks, where 255 is white).
        values: file values that become class 1, 2, …, if the file has other numbers or more than needed; a list entry
            merges several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other values become class 0.
    """

    def __init__(
        self,
        pattern: str,
        name: str = "mask",
        classes: int | list[str] | None = None,
        ignore: int | None = None,
        values: list[int | list[int]] | None = None,
    ) -> None:
        self.pattern, self.name, self.ignore, self.values, self.classes = pattern, name, ignore, values, classes
        check_settings(type(self).__name__, self.class_count, ignore, values)
        if values is not None and classes is None:
            self.classes = len(values) + 1

    def numbers(self, found: np.ndarray, path: Path) -> np.ndarray:
        """Convert the values of a file to class numbers of the same shape, 255 for void."""
        return as_numbers(found, path, self.class_count, self.ignore, self.values)

    def from_numbers(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of the target from class numbers `(*spatial)`."""
        return as_target(numbers, self.name, self.class_count)


class MaskFiles(NumberedMasks):
    """`mask` from image files, and `valid` if some pixels are void.

    Lossy compression (JPEG) changes values, so such files are errors, except for masks of one class in white with
    `values: [255]`. These are thresholded at half, and are errors if too many pixels are in between.

    Args:
        pattern: path under `data.root` with `{image_id}`: `train/masks/{image_id}.png`. `{split}` is the image's folder
            of that name (`masks/{split}/{image_id}.png`), `{column}` a column of the table of images (of
            `data.id_pattern`, `data.metadata`), and `*` any part of a name.
        name: name of the array.
        classes: number of classes, or their names, for class numbers 0 … classes − 1 (a palette is read as its indices,
            1 bit as 0 and 1): `(H, W)` int64, 255 for void pixels (default: `data.classes`). None for binary masks, of
            which `data.classes` names no more than one: two values (0 and 1, 255 or 65535) become
            `(1, H, W)` uint8 of 0 and 1.
        ignore: file value of void pixels (default: 255 for class numbers, none for binary masks, where 255 is white).
        values: file values that become class 1, 2, …, if the file has other numbers or more than needed; a list entry
            merges several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other values become class 0.
    """

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        found = read_plane(path)
        if found.shape != size:
            raise ValueError(
                f"mask {path} is {found.shape}, its image {row.image_id!r} is {size}; if one is rotated, check its "
                "EXIF orientation"
            )
        found = cut_at_half(found, path, self.class_count, self.ignore, self.values)
        if found.dtype == bool and self.values is not None and 1 not in np.hstack(self.values):
            found = found * np.uint8(255)  # white of 1 bit, whether listed as 1 or 255
        return self.from_numbers(self.numbers(found, path))


def check_settings(
    what: str, classes: int | None, ignore: int | None, values: Sequence[int | Sequence[int]] | None
) -> None:
    """Check that arguments of a target do not contradict each other.

    Raises:
        ValueError: if they do; names them.
    """
    if values is not None and classes not in (None, len(values) + 1):
        raise ValueError(f"{what}: classes is {classes}, expected {len(values) + 1}: {len(values)} values and class 0")
    if values is not None and not values:
        raise ValueError(f"{what}: values is empty, expected the file values that become class 1, 2, …")
    if values is not None and ignore is not None and ignore in np.hstack(values):
        raise ValueError(f"{what}: {ignore} is both in values {values} and ignored; remove one of them")


def read_plane(path: Path) -> np.ndarray:
    """Read class numbers `(H, W)` from an image of one channel, or of equal channels; 1 bit as bool.

    Raises:
        ImageReadError: if the image cannot be read.
        ValueError: if channels differ.
    """
    found = read_picture(path, "unchanged")
    if found.shape[2] > 1 and (found == found[..., :1]).all():
        found = found[..., :1]
    if found.shape[2] != 1:
        compression = lossy(path)
        cure = f": {compression} changed its values; save masks as PNG" if compression else ""
        raise ValueError(f"mask {path} has {found.shape[2]} different channels, expected 1{cure}")
    return found[..., 0]


def cut_at_half(
    found: np.ndarray,
    path: Path,
    classes: int | None,
    ignore: int | None,
    values: Sequence[int | Sequence[int]] | None,
) -> np.ndarray:
    """Return the values of a mask file; those of a compressed one as 0 and 255.

    Raises:
        ValueError: if the compression is lossy and the file has more than black and white.
    """
    compression = lossy(path)
    if compression is None:
        return found
    if classes is None and ignore is None and not set(np.unique(found).tolist()) - {0, 255}:
        return found
    white = values is not None and np.hstack(values).tolist() == [255] and found.dtype == np.uint8
    between = np.count_nonzero((found >= MIDDLE[0]) & (found < MIDDLE[1]))
    if white and ignore is None and between <= np.count_nonzero(found >= MIDDLE[1]):
        return np.where(found > 127, np.uint8(255), np.uint8(0))
    present = np.unique(found)[:6].tolist()
    if classes is None and ignore is None:
        raise ValueError(
            f"mask {path} has values {present}, expected 0 and one of 1, 255, 65535: {compression} changes pixel "
            "values. Save masks as PNG; for one class in white set `values: [255]`, which thresholds at half"
        )
    raise ValueError(
        f"mask {path} has values {present}: {compression} changes pixel values, so class numbers cannot be read from "
        "it. Save masks as PNG; masks of one class in white can be read with `values: [255]`, which thresholds at half"
    )


def as_numbers(
    found: np.ndarray,
    path: Path,
    classes: int | None,
    ignore: int | None = None,
    values: Sequence[int | Sequence[int]] | None = None,
    void: np.ndarray | None = None,
) -> np.ndarray:
    """Convert file values `(*spatial)` of any type to class numbers (binary masks: 0 and 1), 255 for void.

    Args:
        found: values of the file.
        path: path of the file, for errors.
        classes: number of classes; None for binary masks.
        ignore: value of void pixels; None: 255 for up to 255 classes, unless `values` lists it.
        values: values that become class 1, 2, …; all others become 0.
        void: bool array of the file's shape: additional void pixels, whatever their value.

    Raises:
        ValueError: if a value is a fraction, a binary mask has a third value, or a class number is out of range.
    """
    listed = values is not None and VOID in np.hstack(values)
    if ignore is None and classes is not None and classes <= VOID and not listed:
        ignore = VOID
    ignored = np.zeros(found.shape, bool) if ignore is None else found == ignore
    ignored = ignored if void is None else ignored | void
    integers = _integers(np.where(ignored, found.dtype.type(0), found) if ignored.any() else found, path)
    if values is not None:
        numbers = np.zeros(integers.shape, np.int64)
        for number, wanted in enumerate(values, 1):
            numbers[np.isin(integers, wanted)] = number
    elif classes is None:
        numbers = _binary(integers, path, ignore)
    else:
        numbers = integers
        low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
        if low < 0 or high >= classes:
            wrong = low if low < 0 else int(integers[integers >= classes].min())
            or_ignored = f" (or {ignore}, ignored)" if ignore is not None else ""
            raise ValueError(f"mask {path} has class {wrong}, expected 0 to {classes - 1}{or_ignored}")
    if classes is not None and classes > VOID and (numbers == VOID).any():
        raise ValueError(
            f"mask {path} has class {VOID}, the number of void pixels; set `ignore: {VOID}` of the target, or use "
            "another number for that class in the file"
        )
    numbers = numbers if numbers.dtype == np.uint8 else numbers.astype(np.int64)
    return np.where(ignored, numbers.dtype.type(VOID), numbers) if ignored.any() else numbers


def as_target(numbers: np.ndarray, name: str, classes: int | None) -> dict[str, np.ndarray]:
    """Return the arrays of a target from class numbers `(*spatial)` in which 255 is void.

    Args:
        numbers: class numbers from `as_numbers`.
        name: name of the mask; `valid` if the file itself marks the valid pixels.
        classes: None for a binary mask `(1, *spatial)` uint8, else class numbers int64.
    """
    counted = numbers != VOID
    if name == "valid":
        return {"valid": (numbers > 0) & counted}
    mask = ((numbers > 0) & counted).astype(np.uint8)[None] if classes is None else numbers.astype(np.int64)
    return {name: mask} if counted.all() else {name: mask, "valid": counted}


def _integers(found: np.ndarray, path: Path) -> np.ndarray:
    """Convert numbers of any type to integers."""
    if found.dtype == bool:
        return found.astype(np.uint8)
    if found.dtype.kind != "f":
        return found
    rounded = np.rint(found)
    if not ((rounded == found) & np.isfinite(found)).all():
        wrong = found[(rounded != found) | ~np.isfinite(found)].flat[0]
        raise ValueError(
            f"mask {path} has value {wrong}, expected integers; is it a probability map, or was it resampled?"
        )
    return rounded.astype(np.int64)


def _binary(integers: np.ndarray, path: Path, ignore: int | None) -> np.ndarray:
    low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
    if low < 0 or high not in (0, *WHITE) or ((integers != 0) & (integers != high)).any():
        present = np.unique(integers)[:6].tolist()
        left = "" if ignore is None else f" besides the ignored {ignore}"
        cure = "; if 255 is void, set `ignore: 255`" if present == [0, 1, VOID] else ""
        raise ValueError(
            f"mask {path} has values {present}{left}, expected 0 and one of 1, 255, 65535; for class numbers set "
            f"`classes` of the target{cure}"
        )
    return (integers > 0).astype(np.uint8)

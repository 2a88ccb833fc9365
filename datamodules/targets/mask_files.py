"""One mask file per image: binary, or class numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.readers.images import read_picture
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from masks.void import VOID

WHITE = (1, 255, 65535)  # what stands for 1 in a binary mask
MIDDLE = 64, 192  # values of a compressed mask that are neither black nor white


class NumberedMasks(FilePerImage):
    """Masks in a file per image that holds numbers: those of classes, or others that stand for them.

    Args:
        pattern: path under `data.root` with `{image_id}` in it.
        name: name of the array.
        classes: number of classes; None for binary masks.
        ignore: value in the file of what does not count. Unless given, 255 among class numbers, and nothing in binary
            masks, where 255 is white.
        values: for files with other numbers, or more of them than wanted: which become class 1, 2, …; a list entry
            joins several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other numbers are class 0.
    """

    def __init__(
        self,
        pattern: str,
        name: str = "mask",
        classes: int | None = None,
        ignore: int | None = None,
        values: list[int | list[int]] | None = None,
    ) -> None:
        check_settings(type(self).__name__, classes, ignore, values)
        self.pattern, self.name, self.ignore, self.values = pattern, name, ignore, values
        self.classes = len(values) + 1 if values is not None else classes

    def numbers(self, found: np.ndarray, path: Path) -> np.ndarray:
        """What a file holds as class numbers of its shape, 255 where it does not count."""
        return as_numbers(found, path, self.classes, self.ignore, self.values)

    def truth(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of the target from class numbers `(*spatial)`."""
        return as_truth(numbers, self.name, self.classes)


class MaskFiles(NumberedMasks):
    """`mask` from picture files, and `valid` where some pixels do not count.

    Compression that loses (JPEG) changes values: such files are refused, but for masks of one class in white, whose
    `values` is `[255]`. They are cut at half, and refused where the middle is more than a seam.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `train/masks/{image_id}.png`.
        name: name of the array.
        classes: None for binary masks: two values (0 and 1, 255 or 65535) become `(1, H, W)` uint8 of 0 and 1. A number
            for class numbers 0 … classes − 1 (a palette is read as its numbers, 1 bit as 0 and 1): `(H, W)` int64,
            255 where a pixel does not count.
        ignore: value in the file of pixels that do not count. Unless given, 255 among class numbers, and nothing in
            binary masks, where 255 is white.
        values: for files with other numbers, or more of them than wanted: which become class 1, 2, …; a list entry
            joins several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other numbers are class 0.
    """

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        found = read_plane(path)
        if found.shape != size:
            raise ValueError(
                f"mask {path} is {found.shape}, its image {row.image_id!r} is {size}; if one is turned, look "
                "at its EXIF orientation"
            )
        found = cut_at_half(found, path, self.classes, self.ignore, self.values)
        if found.dtype == bool and self.values is not None and 1 not in np.hstack(self.values):
            found = found * np.uint8(255)  # 1 bit: white, by whichever name
        return self.truth(self.numbers(found, path))


def check_settings(
    what: str, classes: int | None, ignore: int | None, values: Sequence[int | Sequence[int]] | None
) -> None:
    """Refuse arguments of a target that contradict each other.

    Raises:
        ValueError: names them.
    """
    if values is not None and classes not in (None, len(values) + 1):
        raise ValueError(f"{what}: {len(values)} values and class 0, but classes is {classes}")
    if values is not None and not values:
        raise ValueError(f"{what}: values is empty, expected which values of the file become class 1, 2, …")
    if values is not None and ignore is not None and ignore in np.hstack(values):
        raise ValueError(f"{what}: {ignore} is among values {values} and is ignored too; leave out one")


def read_plane(path: Path) -> np.ndarray:
    """`(H, W)` of a picture that holds numbers: its channel, or the one that all its channels repeat; 1 bit as bool.

    Raises:
        ImageReadError: no picture that can be read.
        ValueError: channels that differ.
    """
    found = read_picture(path, "unchanged")
    if found.shape[2] > 1 and (found == found[..., :1]).all():
        found = found[..., :1]
    if found.shape[2] != 1:
        compression = lossy(path)
        cure = f": {compression} has changed its values; save masks as PNG" if compression else ""
        raise ValueError(f"mask {path} has {found.shape[2]} differing channels, expected 1{cure}")
    return found[..., 0]


def cut_at_half(
    found: np.ndarray,
    path: Path,
    classes: int | None,
    ignore: int | None,
    values: Sequence[int | Sequence[int]] | None,
) -> np.ndarray:
    """The numbers of a mask file, of a compressed one 0 and 255 alone.

    Raises:
        ValueError: compression that loses, in a file that holds more than black and white.
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
    held = np.unique(found)[:6].tolist()
    if classes is None and ignore is None:
        raise ValueError(
            f"mask {path} holds {held}, expected 0 and one of 1, 255, 65535: {compression} changes the values of "
            "pixels. Save masks as PNG; for class numbers of one class in white set `values: [255]`, which cuts at half"
        )
    raise ValueError(
        f"mask {path} holds {held}, as {compression} changes the values of pixels: numbers of classes cannot be read "
        "from it. Save masks as PNG; masks of one class in white can be read with `values: [255]`, which cuts at half"
    )


def as_numbers(
    found: np.ndarray,
    path: Path,
    classes: int | None,
    ignore: int | None = None,
    values: Sequence[int | Sequence[int]] | None = None,
    void: np.ndarray | None = None,
) -> np.ndarray:
    """What a file holds, `(*spatial)` of any type, as class numbers (binary masks: 0 and 1), 255 where void.

    Args:
        found: what the file holds.
        path: named in errors.
        classes: number of classes; None for binary.
        ignore: value of pixels that do not count; None: 255 among up to 255 class numbers, unless `values` has it.
        values: which numbers become class 1, 2, …, all others 0.
        void: bool of the file's shape: pixels that do not count whatever they hold.

    Raises:
        ValueError: a fraction, a third value in a binary mask, or a class number outside the classes.
    """
    listed = values is not None and VOID in np.hstack(values)
    if ignore is None and classes is not None and classes <= VOID and not listed:
        ignore = VOID
    ignored = np.zeros(found.shape, bool) if ignore is None else found == ignore
    ignored = ignored if void is None else ignored | void
    whole = _whole(np.where(ignored, found.dtype.type(0), found) if ignored.any() else found, path)
    if values is not None:
        numbers = np.zeros(whole.shape, np.int64)
        for number, wanted in enumerate(values, 1):
            numbers[np.isin(whole, wanted)] = number
    elif classes is None:
        numbers = _binary(whole, path, ignore)
    else:
        numbers = whole
        low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
        if low < 0 or high >= classes:
            wrong = low if low < 0 else int(whole[whole >= classes].min())
            told = f" (or {ignore}, ignored)" if ignore is not None else ""
            raise ValueError(f"mask {path} holds class {wrong}, expected 0 to {classes - 1}{told}")
    if classes is not None and classes > VOID and (numbers == VOID).any():
        raise ValueError(
            f"mask {path} holds class {VOID}, the number of pixels that do not count; set `ignore: {VOID}` of the "
            "target, or give that class another number in the file"
        )
    numbers = numbers if numbers.dtype == np.uint8 else numbers.astype(np.int64)
    return np.where(ignored, numbers.dtype.type(VOID), numbers) if ignored.any() else numbers


def as_truth(numbers: np.ndarray, name: str, classes: int | None) -> dict[str, np.ndarray]:
    """Arrays of a target from class numbers `(*spatial)` in which 255 is void.

    Args:
        numbers: of `as_numbers`.
        name: of the mask; under `valid` the file itself tells which pixels count.
        classes: None for a binary mask `(1, *spatial)` uint8, else class numbers int64.
    """
    counted = numbers != VOID
    if name == "valid":
        return {"valid": (numbers > 0) & counted}
    mask = ((numbers > 0) & counted).astype(np.uint8)[None] if classes is None else numbers.astype(np.int64)
    return {name: mask} if counted.all() else {name: mask, "valid": counted}


def _whole(found: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of any type as whole ones."""
    if found.dtype == bool:
        return found.astype(np.uint8)
    if found.dtype.kind != "f":
        return found
    whole = np.rint(found)
    if not ((whole == found) & np.isfinite(found)).all():
        wrong = found[(whole != found) | ~np.isfinite(found)].flat[0]
        raise ValueError(
            f"mask {path} holds {wrong}, expected whole numbers; is it a probability map, or has it been resampled?"
        )
    return whole.astype(np.int64)


def _binary(whole: np.ndarray, path: Path, ignore: int | None) -> np.ndarray:
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    if low < 0 or high not in (0, *WHITE) or ((whole != 0) & (whole != high)).any():
        held = np.unique(whole)[:6].tolist()
        left = "" if ignore is None else f" beside {ignore}, ignored"
        cure = "; if 255 does not count, set `ignore: 255`" if held == [0, 1, VOID] else ""
        raise ValueError(
            f"mask {path} holds {held}{left}, expected 0 and one of 1, 255, 65535; for class numbers set `classes` of "
            f"the target{cure}"
        )
    return (whole > 0).astype(np.uint8)

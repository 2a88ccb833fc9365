"""Checks of all files before training, which report all faults together."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datamodules.decoder import Decoder
from datamodules.parallel import in_processes
from datamodules.row import Row
from datamodules.targets import RasterMasks
from datamodules.targets.mask_files import NumberedMasks
from datamodules.windows import with_window
from files.progress import progress
from masks.void import VOID, Arrays, foreground

FEW = 64  # rows that are checked faster without starting processes
SHOWN = 20
STRIP = 2048  # rows of a large image checked at a time


def check_classes(rows: list[Row], decoder: Decoder) -> None:
    """Raise an error if no mask has a class but 0, while some values are ignored or not listed.

    Most likely, 255 then means white and not void. Files are read up to the first with a class, usually the very first.

    Raises:
        ValueError: if no mask has a class; names the first file and the setting to change.
    """
    for target in decoder.targets:
        if not isinstance(target, NumberedMasks | RasterMasks) or not rows:
            continue
        parts = ((row, arrays) for row in rows for arrays in _parts(target, row, decoder.size(row)))
        ignored = None
        for row, arrays in parts:
            if target.name == "valid" or foreground(arrays, target.name).any():
                break
            ignored = ignored or (target.files(row)[0] if "valid" in arrays else None)
        else:
            _refuse_empty(target, ignored, target.files(rows[0])[0], len(rows))


def _parts(target: NumberedMasks | RasterMasks, row: Row, size: tuple[int, ...]) -> Iterator[Arrays]:
    """Return the target arrays of a row; in strips if windows are supported, as an image may be larger than memory."""
    if not target.windowed:
        yield target.read(row, size)
        return
    for top in range(0, size[0], STRIP):
        part = (top, 0, min(STRIP, size[0] - top), size[1])
        yield target.read(with_window(row, part), part[2:])


def _refuse_empty(target: NumberedMasks | RasterMasks, ignored: Path | None, first: Path, count: int) -> None:
    """Raise an error for a set of masks without any class.

    Args:
        target: target that reads the masks.
        ignored: first file with ignored pixels; None if there is none.
        first: first file.
        count: number of masks.
    """
    values = getattr(target, "values", None)
    if values is not None:
        raise ValueError(
            f"none of {count} masks contains any of the target's values {values} (first mask: {first}), so every pixel "
            "would be class 0; check `values` of the target"
        )
    if ignored is None:
        return
    number = VOID if target.ignore is None else target.ignore
    if isinstance(target, RasterMasks):
        raise ValueError(
            f"none of {count} masks has valid pixels of a class but 0, and some pixels are ignored (first in "
            f"{ignored}), so there is nothing to learn; if {number} is a class, as in masks of 0 and 255, set "
            "`ignore: null`, else check where the masks are on the map"
        )
    raise ValueError(
        f"mask {ignored} has values [0, {number}], and none of {count} masks has a class but 0: {number} is ignored, "
        f"so there is nothing to learn; for binary masks remove `classes` of the target, or set `values: [{number}]`"
    )


def find_faults(rows: list[Row], decoder: Decoder, by_windows: bool, workers: int, show: bool) -> list[str]:
    """Check the files of every row: they exist, are complete, match the size of their targets and have valid values.

    Targets are read; of images only the header and the end of the file, unless the end is missing.

    Args:
        rows: rows of the table.
        decoder: decoder with prepared targets.
        by_windows: whether images are read only by windows, so that targets too large to be read whole are skipped.
        workers: number of processes.
        show: whether to show a progress bar if it takes longer than a few seconds.

    Returns:
        A message for each row with a fault, which names its file.
    """
    found = in_processes(partial(fault_of, decoder, by_windows), rows, workers if len(rows) > FEW else 0, at_once=8)
    bar = progress(found, "checking files", len(rows), " images", show, delay=5, leave=False)
    return [fault for fault in bar if fault]


def fault_of(decoder: Decoder, by_windows: bool, row: Row) -> str:
    """Return the fault of a row, or an empty string."""
    try:
        decoder.check(row, by_windows)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def refuse(faults: list[str], count: int) -> None:
    """Raise one error for all faults, with the first fault on its first line.

    Args:
        faults: messages from `find_faults`.
        count: number of checked images.
    """
    if not faults:
        return
    more = [f"  {fault}" for fault in faults[1:SHOWN]]
    rest = [f"  … and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    head = [f"{len(faults)} of {count} images have faults; the others:"] if len(faults) > 1 else []
    raise ValueError("\n".join([faults[0], *head, *more, *rest]))

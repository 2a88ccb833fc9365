"""Every file is looked at before training: faults are told all at once, and not hours later."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datamodules.decoder import Decoder
from datamodules.parallel import in_processes
from datamodules.row import Row
from datamodules.targets import RasterMasks
from datamodules.targets.mask_files import NumberedMasks
from datamodules.windows import with_window
from masks.void import VOID, Arrays, foreground

FEW = 64  # rows that are looked at sooner than processes are started
SHOWN = 20
STRIP = 2048  # rows of a scene that are looked at at once


def check_classes(rows: list[Row], decoder: Decoder) -> None:
    """Refuse masks of which none holds a class but 0, where some of their values are ignored or not asked for.

    Most likely 255 is white, and not what does not count. Files are read as far as the first that has a class, which is
    the first of nearly every set.

    Raises:
        ValueError: names the first file and what to set.
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
    """The truth of a row, of a target that reads windows strip by strip: a scene may be larger than memory."""
    if not target.windowed:
        yield target.read(row, size)
        return
    for top in range(0, size[0], STRIP):
        part = (top, 0, min(STRIP, size[0] - top), size[1])
        yield target.read(with_window(row, part), part[2:])


def _refuse_empty(target: NumberedMasks | RasterMasks, ignored: Path | None, first: Path, count: int) -> None:
    """Raise for a set of masks without any class.

    Args:
        target: reads them.
        ignored: the first file with pixels that do not count; None where no file has any.
        first: the first file.
        count: of masks.
    """
    values = getattr(target, "values", None)
    if values is not None:
        raise ValueError(
            f"none of {count} masks holds any of the values {values} of the target, the first of them {first}: every "
            "pixel would be class 0"
        )
    if ignored is None:
        return
    number = VOID if target.ignore is None else target.ignore
    if isinstance(target, RasterMasks):
        raise ValueError(
            f"none of {count} masks holds a class but 0 among the pixels that count, and some do not count, first in "
            f"{ignored}: there is nothing to learn. Where {number} is a class, as in masks of 0 and 255, set "
            "`ignore: null`; else look where the masks lie on the map"
        )
    raise ValueError(
        f"mask {ignored} holds [0, {number}], and none of {count} masks holds a class but 0: {number} is ignored, so "
        f"there is nothing to learn. For binary masks leave out `classes` of the target, or set `values: [{number}]`"
    )


def find_faults(rows: list[Row], decoder: Decoder, by_windows: bool, workers: int, show: bool) -> list[str]:
    """Look at the files of every row: are they there, whole, of one size with their truth, does that hold what it may.

    Truth is read; of pictures only the header and the end are, unless that end is missing.

    Args:
        rows: of the table.
        decoder: with prepared targets.
        by_windows: whether only parts of images are read, so that truth too large to be read whole is left out.
        workers: processes.
        show: draw a progress bar where it takes longer than some seconds.

    Returns:
        What is wrong, a text for each row that has a fault; each names its file.
    """
    found = in_processes(partial(fault_of, decoder, by_windows), rows, workers if len(rows) > FEW else 0, at_once=8)
    bar = tqdm(found, "looking at files", len(rows), unit=" images", disable=not show, delay=5, leave=False)
    return [fault for fault in bar if fault]


def fault_of(decoder: Decoder, by_windows: bool, row: Row) -> str:
    """What is wrong with a row; empty text where nothing is."""
    try:
        decoder.check(row, by_windows)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def refuse(faults: list[str], count: int) -> None:
    """Raise one error for all faults, the first on its first line.

    Args:
        faults: of `find_faults`.
        count: how many images were looked at.
    """
    if not faults:
        return
    more = [f"  {fault}" for fault in faults[1:SHOWN]]
    rest = [f"  … and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    head = [f"{len(faults)} of {count} images have faults; the others:"] if len(faults) > 1 else []
    raise ValueError("\n".join([faults[0], *head, *more, *rest]))

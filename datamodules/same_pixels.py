"""Pictures of a set must agree in type and channels: 255 is white in one and almost black in another."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from datamodules.decoder import Decoder
from datamodules.file_check import FEW
from datamodules.parallel import in_processes
from datamodules.readers import Pixels, Reader
from datamodules.row import Row
from datamodules.samplers import rank_and_world
from datamodules.table import rows_of

FULL = {"uint8": 255, "uint16": 65535}
DARK = 4  # a range so many times as large as what the type holds is no range of that type
Found = tuple[str, Pixels]  # a file and what its image is made of


def check_pixels(
    table_of: Callable[[str], pd.DataFrame],
    splits: Sequence[str],
    later: Sequence[str],
    decoder: Decoder,
    workers: int,
    model: Any | None,
) -> None:
    """Refuse pictures of several types or numbers of channels, from headers alone.

    Every rank looks for itself: the first one may be alone here, before the others come.

    Args:
        table_of: the rows of a split.
        splits: those that the network will see now.
        later: those that it will see after them, if they are there yet.
        decoder: would read them.
        workers: processes that look.
        model: whose `input_range` the files' type should fit, else a warning tells; None where there is none.

    Raises:
        ValueError: names a file of each kind and what to do.
    """
    rows = [row for split in splits for row in rows_of(table_of(split))]
    for split in later:
        with suppress(ValueError, OSError):  # whoever reads them says why they are not there
            rows += rows_of(table_of(split))
    rank, _ = rank_and_world()
    found = look(rows, decoder, workers, show=rank == 0)
    refuse_mixed(found)
    if found and rank == 0 and hasattr(model, "input_range"):
        warn_of_range(*found[0], float(model.input_range))


def look(rows: list[Row], decoder: Decoder, workers: int, show: bool) -> list[Found]:
    """What each image is made of, where its header tells."""
    readers = [decoder.reader, *(reader for reader, _ in decoder.others.values())]
    if all(type(reader).pixels is Reader.pixels for reader in readers):
        return []
    found = in_processes(partial(pixels_of, decoder), rows, workers if len(rows) > FEW else 0, at_once=16)
    bar = tqdm(found, "looking at headers", len(rows), unit=" images", disable=not show, delay=5, leave=False)
    return [one for one in bar if one is not None]


def pixels_of(decoder: Decoder, row: Row) -> Found | None:
    """The file of a row and what its image is made of; None where its reader, or a fault, does not tell."""
    try:
        pixels = decoder.pixels(row)
    except (ValueError, OSError):
        return None  # whoever reads it says why
    return None if pixels is None else (str(row.path), pixels)


def refuse_mixed(found: Sequence[Found]) -> None:
    """Raise where images differ in type or channels; floats of any size mean the same.

    Raises:
        ValueError: names a file of each kind.
    """
    kinds: dict[tuple[str, int], list[Found]] = {}
    for file, pixels in found:
        kind = "float" if pixels.type.startswith("float") else pixels.type
        kinds.setdefault((kind, pixels.channels), []).append((file, pixels))
    if len(kinds) < 2:
        return
    groups = sorted(kinds.values(), key=len, reverse=True)
    types = len({kind for kind, _ in kinds}) > 1
    texts = [f"{group[0][0]} is {_text(group[0][1], types)} ({len(group)} images)" for group in groups]
    if any(kind.endswith("-bit") for kind, _ in kinds):
        cure = "set reader.channels to gray or rgb, which bring few bits to 8"
    elif types:
        cure = "bring all to one depth, python cli.py prepare --bits 8 (or 16), or take some out"
    else:
        cure = "set reader.channels (rgb, gray) or reader.bands, or take some out"
    why = "the same number means another brightness in each" if types else "a network takes one number of channels"
    raise ValueError(f"{texts[0]}, {', '.join(texts[1:4])}{', …' if len(texts) > 4 else ''}: {why}; {cure}")


def _text(pixels: Pixels, types: bool) -> str:
    return pixels.type if types else f"of {pixels.channels} channels"


def warn_of_range(file: str, pixels: Pixels, input_range: float) -> None:
    """Warn where a picture of this type is far brighter or darker than `model.input_range` means."""
    full = FULL.get(pixels.type)
    if pixels.type.endswith("-bit"):
        full = 2 ** int(pixels.type.removesuffix("-bit")) - 1
    elif " up to " in pixels.type:
        full = int(pixels.type.partition(" up to ")[2])
    if full is None or 1 / DARK < full / input_range < 256:
        return
    cure = f"set model.input_range: {full}" + (" (4095 for 12 bits in 16)" if full == 65535 else "")
    if pixels.type.endswith("-bit"):
        cure += ", or data.reader.channels: gray, which spreads them up to 255"
    warnings.warn(
        f"{file} is {pixels.type}, whose white is {full}, but model.input_range is {input_range:g}: {cure}",
        stacklevel=2,
    )

"""Check that images of a data set agree in type and channels: 255 is white in 8 bits and almost black in 16."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pandas as pd

from datamodules.decoder import Decoder
from datamodules.file_check import FEW
from datamodules.parallel import in_processes
from datamodules.readers import Pixels, Reader
from datamodules.row import Row
from datamodules.samplers import rank_and_world
from datamodules.table import rows_of
from files.progress import progress

FULL = {"uint8": 255, "uint16": 65535}
DARK = 4  # maximum ratio between the white of a type and `model.input_range`
Found = tuple[str, Pixels]  # a file with pixel type and channels of its image


def check_pixels(
    table_of: Callable[[str], pd.DataFrame],
    splits: Sequence[str],
    later: Sequence[str],
    decoder: Decoder,
    workers: int,
    model: Any | None,
) -> None:
    """Raise an error if images differ in type or number of channels, according to their headers.

    Every rank checks on its own, as the first rank may call it before the others.

    Args:
        table_of: function that returns the rows of a split.
        splits: splits used now.
        later: splits used later, checked if they exist yet.
        decoder: decoder of the rows.
        workers: number of processes.
        model: model whose `input_range` should match the files' type, else a warning is raised; None skips this check.

    Raises:
        ValueError: if images differ; names a file of each kind and the setting to change.
    """
    rows = [row for split in splits for row in rows_of(table_of(split))]
    for split in later:
        with suppress(ValueError, OSError):  # reading them later raises the error
            rows += rows_of(table_of(split))
    rank, _ = rank_and_world()
    found = look(rows, decoder, workers, show=rank == 0)
    refuse_mixed(found)
    if found and rank == 0 and hasattr(model, "input_range"):
        warn_of_range(*found[0], float(model.input_range))


def look(rows: list[Row], decoder: Decoder, workers: int, show: bool) -> list[Found]:
    """Return pixel type and channels of each image, if its header tells."""
    readers = [decoder.reader, *(reader for reader, _ in decoder.others.values())]
    if all(type(reader).pixels is Reader.pixels for reader in readers):
        return []
    found = in_processes(partial(pixels_of, decoder), rows, workers if len(rows) > FEW else 0, at_once=16)
    bar = progress(found, "checking headers", len(rows), " images", show, delay=5, leave=False)
    return [one for one in bar if one is not None]


def pixels_of(decoder: Decoder, row: Row) -> Found | None:
    """Return a row's file with pixel type and channels of its image; None if unknown or the header is faulty."""
    try:
        pixels = decoder.pixels(row)
    except (ValueError, OSError):
        return None  # reading it later raises the error
    return None if pixels is None else (str(row.path), pixels)


def refuse_mixed(found: Sequence[Found]) -> None:
    """Raise an error if images differ in type or channels; floats of any size are equal.

    Raises:
        ValueError: if images differ; names a file of each kind.
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
        cure = "set reader.channels to gray or rgb, which scale low bit depths to 8 bits"
    elif types:
        cure = "convert all to one bit depth, python cli.py prepare --bits 8 (or 16), or remove some"
    else:
        cure = "set reader.channels (rgb, gray) or reader.bands, or remove some"
    why = "equal values differ in brightness" if types else "a network has one number of channels"
    raise ValueError(f"{texts[0]}, {', '.join(texts[1:4])}{', …' if len(texts) > 4 else ''}: {why}; {cure}")


def _text(pixels: Pixels, types: bool) -> str:
    return pixels.type if types else f"of {pixels.channels} channels"


def warn_of_range(file: str, pixels: Pixels, input_range: float) -> None:
    """Warn if an image of this type is much brighter or darker than `model.input_range` expects."""
    full = FULL.get(pixels.type)
    if pixels.type.endswith("-bit"):
        full = 2 ** int(pixels.type.removesuffix("-bit")) - 1
    elif " up to " in pixels.type:
        full = int(pixels.type.partition(" up to ")[2])
    if full is None or 1 / DARK < full / input_range < 256:
        return
    cure = f"set model.input_range: {full}" + (" (4095 for 12 bits in 16)" if full == 65535 else "")
    if pixels.type.endswith("-bit"):
        cure += ", or data.reader.channels: gray, which scales them up to 255"
    warnings.warn(
        f"{file} is {pixels.type}, whose white is {full}, but model.input_range is {input_range:g}: {cure}",
        stacklevel=2,
    )

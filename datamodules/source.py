"""Where samples are read from: the files, or a cache of what they hold."""

from pathlib import Path

import pandas as pd
import torch

from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.file_check import check_classes, find_faults, refuse
from datamodules.samplers import rank_and_world
from datamodules.table import rows_of


def source_of(
    tables: list[pd.DataFrame],
    decoder: Decoder,
    cached: bool,
    folder: Path | None,
    workers: int,
    look: bool,
    by_windows: bool,
) -> Decoder | DecodedCache:
    """The decoder itself, or a cache that holds what it reads of these rows.

    Args:
        tables: rows of each split.
        decoder: reads them.
        cached: whether to decode them all now.
        folder: of the cache; None keeps it in memory.
        workers: processes that decode or look.
        look: look at every file first, and raise one error for all that are faulty; a cache, which reads them anyway,
            looks once one is. Every rank must be here.
        by_windows: whether only parts of images will be read.

    Raises:
        ValueError, OSError: names the faulty files.
        MemoryError: less memory or disk is free than the cache needs.
    """
    rows = [row for table in tables for row in rows_of(table)] if look else []
    own = [row for row in rows if row.source == "train"]
    if not cached:
        if look:
            _look(rows, decoder, by_windows, workers, *rank_and_world())
            check_classes(own, decoder)
        return decoder
    cache = DecodedCache(decoder, folder, workers)
    try:
        cache.build(pd.concat(tables, ignore_index=True), show=rank_and_world()[0] == 0)
    except (ValueError, OSError):
        if look:
            _look(rows, decoder, by_windows, workers, 0, 1)  # alone, and it names the other faulty files too
        raise
    if look:
        check_classes(own, decoder)
    return cache


def _look(rows: list, decoder: Decoder, by_windows: bool, workers: int, rank: int, world: int) -> None:
    """Raise where files are faulty; each rank takes its share and learns what the others have found."""
    faults = find_faults(rows[rank::world], decoder, by_windows, workers, show=rank == 0)
    if world > 1:
        shares: list[list[str]] = [[] for _ in range(world)]
        torch.distributed.all_gather_object(shares, faults)
        faults = [fault for share in shares for fault in share]
    refuse(faults, len(rows))

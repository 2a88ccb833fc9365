"""The source of samples: the files, or a cache of their decoded contents."""

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
    """Return the decoder, or a cache with what it reads from these rows.

    Args:
        tables: rows of each split.
        decoder: reader of the rows.
        cached: whether to decode all rows now.
        folder: folder of the cache; None keeps it in memory.
        workers: number of processes that decode or check.
        look: whether to check every file first and raise one error for all faulty files; with a cache, which reads
            all files anyway, only if one is faulty. Must be called on every rank.
        by_windows: whether images are read only by windows.

    Raises:
        ValueError, OSError: if files are faulty; names them.
        MemoryError: if there is too little free memory or disk space for the cache.
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
            _look(rows, decoder, by_windows, workers, 0, 1)  # on this rank alone, to report other faulty files too
        raise
    if look:
        check_classes(own, decoder)
    return cache


def _look(rows: list, decoder: Decoder, by_windows: bool, workers: int, rank: int, world: int) -> None:
    """Raise an error if files are faulty; each rank checks its share, and all ranks report all faults."""
    faults = find_faults(rows[rank::world], decoder, by_windows, workers, show=rank == 0)
    if world > 1:
        shares: list[list[str]] = [[] for _ in range(world)]
        torch.distributed.all_gather_object(shares, faults)
        faults = [fault for share in shares for fault in share]
    refuse(faults, len(rows))

"""Parallel work on many rows in separate processes."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

WORK: Callable[[Any], Any] | None = None  # of a worker process: the function applied to each item


def in_processes(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    workers: int,
    at_once: int = 1,
    cure: str = "lower data.num_workers",
) -> Iterator[Any]:
    """Apply a function to each item, and yield the results in order.

    Args:
        work: function of an item, called in a process with one thread; its state is copied to each process.
        items: items to process.
        workers: number of processes; below 2, items are processed in this one.
        at_once: items sent to a process together, for fast functions.
        cure: what to do if a process was killed, for the message.

    Raises:
        RuntimeError: if a process was killed.
    """
    if workers < 2 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(min(workers, len(items)), initializer=_begin, initargs=(work,))
    try:
        yield from pool.map(_work, items, chunksize=at_once)
    except BrokenProcessPool:
        raise RuntimeError(f"a process that reads files was killed, most often for lack of memory; {cure}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global WORK
    cv2.setNumThreads(0)  # there is one process per CPU already; threads of OpenCV would only compete for them
    WORK = work


def _work(item: Any) -> Any:
    try:
        return WORK(item)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it would break the pool without a message
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise

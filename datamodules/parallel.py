"""Work on many rows in processes of their own."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

WORK: Callable[[Any], Any] | None = None  # of a worker process: what it does with each item


def in_processes(work: Callable[[Any], Any], items: Sequence[Any], workers: int, at_once: int = 1) -> Iterator[Any]:
    """What a function makes of each item, in the order of the items.

    Args:
        work: called with an item, in a process with one thread; its state is a copy in each process.
        items: what to work on.
        workers: processes; below 2 all is done in this one.
        at_once: items that are sent to a process together, where each takes little time.

    Raises:
        RuntimeError: a process was killed.
    """
    if workers < 2 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(min(workers, len(items)), initializer=_begin, initargs=(work,))
    try:
        yield from pool.map(_work, items, chunksize=at_once)
    except BrokenProcessPool:
        raise RuntimeError(
            "a process that reads files was killed, most often for want of memory; set data.num_workers lower"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global WORK
    cv2.setNumThreads(0)  # a process per CPU already; OpenCV's own threads would only fight over them
    WORK = work


def _work(item: Any) -> Any:
    try:
        return WORK(item)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it would break the pool, and nobody would learn of it
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise

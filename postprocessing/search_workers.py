"""Evaluation of many settings of a post-processing chain on many images, in worker processes.

Each worker owns a share of the images: it reads them, keeps them compressed while memory lasts, and turns a list of
settings into the metric rows of its images. Settings that start with the same steps share the results of those.
"""

import math
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import cv2
import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import Arrays, without_void
from files.progress import progress
from postprocessing.step import Step
from predictions.quantiser import from_steps, to_steps

Setting = tuple[int, ...]  # index of the candidate of each tuned parameter
Chain = Callable[[Setting], list[Step]]


class SearchImage(NamedTuple):
    """An image to tune on; arrays are read when needed, in the process that needs them.

    Attributes:
        image_id: image id.
        prediction: function that reads its probabilities by output name (out of fold, or scores are meaningless).
        targets: function that reads its target arrays by name.
        group: name of its group (patient, slide), which stays in one half; None: a group of its own.
    """

    image_id: str
    prediction: Callable[[], Arrays]
    targets: Callable[[], Arrays]
    group: str | None = None


class CompressedArray:
    """A losslessly compressed array: bits, narrow integers, bytes of a uint8 store, or float16.

    Lossless, because a threshold must give the same result in the search as in the submission.

    Args:
        array: array of any type; float32 values k / 255 (a uint8 store) take one byte, 0/1 masks one bit.
    """

    def __init__(self, array: np.ndarray):
        self.shape, self.dtype = array.shape, array.dtype
        self.form, self.data = "whole", array
        if not array.size:
            return
        if array.dtype == bool or (array.dtype == np.uint8 and array.max() <= 1):
            self.form, self.data = "bits", np.packbits(array.reshape(-1))
        elif array.dtype.kind in "iu" and array.min() >= 0:
            self.data = array.astype(np.min_scalar_type(array.max()))
        elif array.dtype == np.float32:
            for form, convert in (("bytes", _to_bytes), ("whole", _to_halves)):
                self.form, self.data = form, convert(array)
                if np.array_equal(self.restore(), array, equal_nan=True):
                    return
            self.data = array

    def restore(self) -> np.ndarray:
        """Return the original array."""
        if self.form == "bits":
            bits = np.unpackbits(self.data, count=math.prod(self.shape)).reshape(self.shape)
            return bits.view(bool) if self.dtype == bool else bits
        if self.form == "bytes":
            return from_steps(self.data)
        return self.data.astype(self.dtype, copy=False)


def _compact(arrays: Arrays) -> dict[str, CompressedArray]:
    return {name: CompressedArray(array) for name, array in arrays.items()}


def _to_bytes(array: np.ndarray) -> np.ndarray:
    return to_steps(np.nan_to_num(array))


def _to_halves(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float16)


class EvaluationWorker:
    """A share of the images, and the metric rows for them.

    Args:
        chain: function from a setting to its steps; equal steps of two settings are the same object.
        metric: metric whose rows are computed.
        cases: images.
        memory: bytes of images to keep; images beyond are read again for every list of settings.
        making: number of leading steps that make the prediction from what is read (a blend of members). After them void
            pixels of the target are set to 0.
    """

    def __init__(
        self, chain: Chain, metric: CompetitionMetric, cases: Sequence[SearchImage], memory: int, making: int = 0
    ) -> None:
        self.chain, self.metric, self.cases, self.memory, self.making = chain, metric, cases, memory, making
        self.kept: dict[str, tuple[dict[str, CompressedArray], dict[str, CompressedArray]]] = {}

    def rows(self, settings: list[Setting], advance: Callable[[], None] = lambda: None) -> np.ndarray:
        """Rows of every setting and image, `(settings, images, F)`; `advance` is called after each image."""
        chains = [self.chain(setting) for setting in settings]
        columns = []
        for case in self.cases:
            try:
                columns.append(self._evaluate(case, chains))
            except Exception as error:
                error.add_note(f"while post-processing image {case.image_id!r}")
                raise
            advance()
        return np.stack(columns, axis=1)

    def _evaluate(self, case: SearchImage, chains: list[list[Step]]) -> np.ndarray:
        prediction, target = self._read(case)
        rows = []
        # results of the steps of the last chain; leading steps shared with the next chain are not repeated
        done: list[tuple[Step, Arrays]] = []
        for chain in chains:
            shared = next((i for i, step in enumerate(chain) if i >= len(done) or done[i][0] is not step), len(chain))
            del done[shared:]
            for place, step in enumerate(chain[shared:], shared + 1):
                result = step(done[-1][1] if done else prediction)
                done.append((step, without_void(result, target) if place == self.making else result))
            rows.append(self.metric.row(case.image_id, done[-1][1] if done else prediction, target))
        found = np.stack(rows)
        return found if found.dtype == object else found.astype(np.float64)

    def _read(self, case: SearchImage) -> tuple[Arrays, Arrays]:
        if case.image_id not in self.kept:
            prediction, target = case.prediction(), case.targets()
            if not self.making:
                prediction = without_void(prediction, target)
            compact = _compact(prediction), _compact(target)
            size = sum(array.data.nbytes for part in compact for array in part.values())
            if size > self.memory:
                return prediction, target
            self.memory -= size
            self.kept[case.image_id] = compact
        kept_prediction, kept_target = self.kept[case.image_id]
        return (
            {name: array.restore() for name, array in kept_prediction.items()},
            {name: array.restore() for name, array in kept_target.items()},
        )


@contextmanager
def evaluators(
    chain: Chain,
    metric: CompetitionMetric,
    cases: Sequence[SearchImage],
    processes: int | None,
    memory: int,
    making: int = 0,
) -> Iterator[Callable[[list[Setting]], np.ndarray]]:
    """Start workers for the duration of a `with` block.

    Args:
        chain: function from a setting to its steps.
        metric: metric whose rows are computed.
        cases: all images, distributed to the workers.
        processes: number of workers (default: one per available CPU). 1 works in this process.
        memory: bytes of images to keep, over all workers.
        making: number of leading steps that make the prediction; see `EvaluationWorker`.

    Yields:
        A function from a list of settings to their rows `(settings, N, F)` in the order of `cases`.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = max(1, min(available if processes is None else processes, len(cases)))
    if "fork" not in multiprocessing.get_all_start_methods():
        processes = 1  # readers need not be picklable, so workers must be forked
    with progress(desc="search", unit=" images") as bar:
        if processes == 1:
            worker = EvaluationWorker(chain, metric, cases, memory, making)
            yield lambda settings: worker.rows(settings, lambda: bar.update(len(settings)))
            return
        context = multiprocessing.get_context("fork")
        workers, pipes = [], []
        try:
            for number in range(processes):
                here, there = context.Pipe()
                pipes.append(here)
                worker = EvaluationWorker(chain, metric, cases[number::processes], memory // processes, making)
                workers.append(context.Process(target=_work, args=(worker, there, list(pipes)), daemon=True))
                workers[-1].start()
                there.close()

            def evaluate(settings: list[Setting]) -> np.ndarray:
                for pipe in pipes:
                    with suppress(ConnectionError):  # a dead worker is reported when its rows are missing
                        pipe.send(settings)
                for number, (process, pipe) in enumerate(zip(workers, pipes, strict=True)):
                    part = _receive(process, pipe)
                    if number == 0:
                        rows = np.empty((len(settings), len(cases), part.shape[-1]), part.dtype)
                    rows[:, number::processes] = part
                bar.update(len(settings) * len(cases))
                return rows

            yield evaluate
        finally:
            for process, pipe in zip(workers, pipes, strict=False):
                pipe.close()
                if process.pid is not None:
                    process.terminate()
                    process.join()


def _work(worker: EvaluationWorker, pipe: Connection, others: list[Connection]) -> None:
    """Worker loop: receive settings, send rows or the error, until the parent closes its end or exits."""
    for other in others:  # inherited ends of the parent: while one is open, its exit would go unnoticed
        other.close()
    cv2.setNumThreads(0)  # one process per CPU already, and OpenCV threads do not survive a fork
    while True:
        try:
            settings = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(worker.rows(settings))
        except Exception as error:
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError if it cannot be pickled."""
    error.add_note(f"in a worker:\n{traceback.format_exc()}")
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("\n".join([repr(error), *error.__notes__]))


def _receive(worker: BaseProcess, pipe: Connection) -> np.ndarray:
    try:
        answer = pipe.recv()
    except (EOFError, ConnectionError):
        worker.join()
        raise RuntimeError(
            f"search: a worker exited with code {worker.exitcode} (-9: killed, usually out of memory); use fewer "
            "processes or less memory"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer

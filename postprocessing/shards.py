"""Evaluation of many settings of a post-processing chain on many images, in worker processes.

Each worker owns a share of the images: it reads them, keeps them compactly while memory lasts, and turns a list of
settings into the metric's rows of its images. Settings that begin with the same steps share the results of those.
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
from evaluation.void import without_void
from postprocessing.step import Step
from predictions.quantiser import from_steps, to_steps

Arrays = dict[str, np.ndarray]
Setting = tuple[int, ...]  # for each tuned parameter the number of its candidate
Chain = Callable[[Setting], list[Step]]


class Case(NamedTuple):
    """One image to tune on; both arrays are read when needed, in the process that needs them.

    Attributes:
        image_id: the image.
        prediction: reads its probabilities by output name (out of fold, or the score means nothing).
        truth: reads its target arrays by name.
        group: images of one group (patient, slide) are put into the same half; None: a group of its own.
    """

    image_id: str
    prediction: Callable[[], Arrays]
    truth: Callable[[], Arrays]
    group: str | None = None


class Compact:
    """An array in a small form that restores it exactly: bits, narrow integers, bytes of a uint8 store, or halves.

    Exactly, because a threshold must fall on the same side in the search as in the submission.

    Args:
        array: any array; float32 values k / 255 (a uint8 store) take one byte, 0/1 masks one bit.
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
        """The array as it was given."""
        if self.form == "bits":
            bits = np.unpackbits(self.data, count=math.prod(self.shape)).reshape(self.shape)
            return bits.view(bool) if self.dtype == bool else bits
        if self.form == "bytes":
            return from_steps(self.data)
        return self.data.astype(self.dtype, copy=False)


def _compact(arrays: Arrays) -> dict[str, Compact]:
    return {name: Compact(array) for name, array in arrays.items()}


def _to_bytes(array: np.ndarray) -> np.ndarray:
    return to_steps(np.nan_to_num(array))


def _to_halves(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return array.astype(np.float16)


class Shard:
    """Some of the images, and the metric's rows for them.

    Args:
        chain: setting -> its steps; steps that two settings have in common are the same objects.
        metric: whose rows are wanted.
        cases: the images.
        memory: bytes of images that may be kept; those beyond are read anew for every list of settings.
        making: how many of the first steps make the prediction of what is read (a blend of members). Behind them it is
            0 where the truth says that pixels do not count.
    """

    def __init__(
        self, chain: Chain, metric: CompetitionMetric, cases: Sequence[Case], memory: int, making: int = 0
    ) -> None:
        self.chain, self.metric, self.cases, self.memory, self.making = chain, metric, cases, memory, making
        self.kept: dict[str, tuple[dict[str, Compact], dict[str, Compact]]] = {}

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

    def _evaluate(self, case: Case, chains: list[list[Step]]) -> np.ndarray:
        prediction, truth = self._read(case)
        rows = []
        # what each step of the last chain gave: what the next chain has in common with it is not repeated
        done: list[tuple[Step, Arrays]] = []
        for chain in chains:
            shared = next((i for i, step in enumerate(chain) if i >= len(done) or done[i][0] is not step), len(chain))
            del done[shared:]
            for place, step in enumerate(chain[shared:], shared + 1):
                result = step(done[-1][1] if done else prediction)
                done.append((step, without_void(result, truth) if place == self.making else result))
            rows.append(self.metric.row(case.image_id, done[-1][1] if done else prediction, truth))
        found = np.stack(rows)
        return found if found.dtype == object else found.astype(np.float64)

    def _read(self, case: Case) -> tuple[Arrays, Arrays]:
        if case.image_id not in self.kept:
            prediction, truth = case.prediction(), case.truth()
            if not self.making:
                prediction = without_void(prediction, truth)
            compact = _compact(prediction), _compact(truth)
            size = sum(array.data.nbytes for part in compact for array in part.values())
            if size > self.memory:
                return prediction, truth
            self.memory -= size
            self.kept[case.image_id] = compact
        kept_prediction, kept_truth = self.kept[case.image_id]
        return (
            {name: array.restore() for name, array in kept_prediction.items()},
            {name: array.restore() for name, array in kept_truth.items()},
        )


@contextmanager
def evaluators(
    chain: Chain,
    metric: CompetitionMetric,
    cases: Sequence[Case],
    processes: int | None,
    memory: int,
    making: int = 0,
) -> Iterator[Callable[[list[Setting]], np.ndarray]]:
    """Workers for the time of a `with` block.

    Args:
        chain: setting -> its steps.
        metric: whose rows are wanted.
        cases: all images, dealt out to the workers.
        processes: workers; None: one per CPU this process may use. 1 works in this process.
        memory: bytes of images that may be kept, all workers together.
        making: how many of the first steps make the prediction; see `Shard`.

    Yields:
        A function from a list of settings to their rows `(settings, N, F)` in the order of `cases`.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = max(1, min(available if processes is None else processes, len(cases)))
    if "fork" not in multiprocessing.get_all_start_methods():
        processes = 1  # readers need not be picklable, so only a fork can hand them over
    from tqdm import tqdm

    with tqdm(desc="search", unit=" images", disable=None) as bar:
        if processes == 1:
            shard = Shard(chain, metric, cases, memory, making)
            yield lambda settings: shard.rows(settings, lambda: bar.update(len(settings)))
            return
        context = multiprocessing.get_context("fork")
        workers, pipes = [], []
        try:
            for number in range(processes):
                here, there = context.Pipe()
                pipes.append(here)
                shard = Shard(chain, metric, cases[number::processes], memory // processes, making)
                workers.append(context.Process(target=_work, args=(shard, there, list(pipes)), daemon=True))
                workers[-1].start()
                there.close()

            def evaluate(settings: list[Setting]) -> np.ndarray:
                for pipe in pipes:
                    with suppress(ConnectionError):  # a dead worker is told of when its rows are missing
                        pipe.send(settings)
                for number, (worker, pipe) in enumerate(zip(workers, pipes, strict=True)):
                    part = _receive(worker, pipe)
                    if number == 0:
                        rows = np.empty((len(settings), len(cases), part.shape[-1]), part.dtype)
                    rows[:, number::processes] = part
                bar.update(len(settings) * len(cases))
                return rows

            yield evaluate
        finally:
            for worker, pipe in zip(workers, pipes, strict=False):
                pipe.close()
                if worker.pid is not None:
                    worker.terminate()
                    worker.join()


def _work(shard: Shard, pipe: Connection, others: list[Connection]) -> None:
    """A worker's life: settings in, rows or the error out, until the parent closes its end or is gone."""
    for other in others:  # the parent's ends, inherited: while one is open here, its end would go unnoticed
        other.close()
    cv2.setNumThreads(0)  # there is a process per CPU already, and OpenCV's threads do not survive a fork
    while True:
        try:
            settings = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(shard.rows(settings))
        except Exception as error:
            pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError where it does not survive pickling."""
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
            f"search: a worker ended with exit code {worker.exitcode} (-9: killed, as a rule for lack of memory); "
            "give fewer processes or less memory"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer

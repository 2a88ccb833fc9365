import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evaluation.metrics.base import CompetitionMetric
from postprocessing.search_workers import CompressedArray, EvaluationWorker, SearchImage, evaluators
from postprocessing.step import Step


class Add(Step):
    """Adds a number and remembers how often it was called."""

    def __init__(self, value: float = 0.0):
        self.value = value
        self.calls = 0

    def __call__(self, prediction):
        self.calls += 1
        return prediction | {"x": prediction["x"] + np.float32(self.value)}


class Broken(Step):
    def __init__(self, text: str = "no such output: mask"):
        self.text = text

    def __call__(self, prediction):
        if prediction["x"][0] == 2:
            raise ValueError(self.text)
        return prediction


class Killed(Step):
    def __init__(self, parent: int = 0):
        self.parent = parent

    def __call__(self, prediction):
        if os.getpid() != self.parent:
            os._exit(9)
        return prediction


class Sums(CompetitionMetric):
    higher_is_better = True

    def image(self, prediction, truth):
        return np.array([prediction["x"].sum(), truth["x"].sum(), 1.0])

    def reduce(self, rows):
        return float(rows[:, 0].mean())


def cases(number, reads=None):
    def reader(i, kind):
        def read():
            if reads is not None:
                reads.append((i, kind))
            return {"x": np.full(4, i, np.float32)}

        return read

    return [SearchImage(f"{i:02}", reader(i, "prediction"), reader(i, "truth")) for i in range(number)]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))
        for dtype in (bool, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64)
    )
)
def test_compact_arrays_are_restored_exactly(array):
    restored = CompressedArray(array).restore()
    assert restored.dtype == array.dtype
    np.testing.assert_array_equal(restored, array)


@pytest.mark.parametrize(
    ("array", "nbytes"),
    [
        (np.arange(256, dtype=np.uint8).astype(np.float32) / 255, 256),
        (np.arange(256, dtype=np.float32) / 512, 512),
        (np.arange(256, dtype=np.float32) / 777, 1024),
        (np.ones((3, 100), bool), 38),
        (np.arange(256, dtype=np.uint8) % 2, 32),
        (np.arange(256, dtype=np.int64), 256),
        (np.arange(300, dtype=np.int32), 600),
    ],
)
def test_compact_arrays_are_small(array, nbytes):
    compact = CompressedArray(array)
    assert compact.data.nbytes == nbytes
    np.testing.assert_array_equal(compact.restore(), array)


def test_steps_in_common_are_not_repeated():
    first, second, third = Add(1), Add(10), Add(20)
    chains = {(0,): [first, second], (1,): [first, third], (2,): [first]}
    rows = EvaluationWorker(chains.get, Sums(), cases(3), 1 << 20).rows([(0,), (1,), (2,)])
    np.testing.assert_array_equal(rows[:, :, 0], 4 * (np.arange(3.0) + np.array([[11], [21], [1]])))
    assert (first.calls, second.calls, third.calls) == (3, 3, 3)


def test_without_steps_the_prediction_itself_is_scored():
    rows = EvaluationWorker(lambda setting: [], Sums(), cases(3), 1 << 20).rows([()])
    np.testing.assert_array_equal(rows[0], [[0, 0, 1], [4, 4, 1], [8, 8, 1]])


def test_images_are_read_once_while_memory_lasts():
    reads = []
    # two arrays of four pixels an image: 0 and 1 are kept in one byte a pixel, 2 and 3 need two
    worker = EvaluationWorker(lambda setting: [], Sums(), cases(4, reads), 8 + 8 + 16)
    expected = worker.rows([()])
    assert len(reads) == 8
    np.testing.assert_array_equal(worker.rows([()]), expected)
    assert reads[8:] == [(3, "prediction"), (3, "truth")]


@pytest.mark.parametrize("processes", [1, 2, 3, 50, None])
def test_workers_give_the_rows_of_all_images_in_order(processes):
    chains = {(0,): [Add(1)], (1,): [Add(5)]}
    with evaluators(chains.get, Sums(), cases(7), processes, 1 << 20) as evaluate:
        for wanted in ([(0,), (1,)], [(1,)]):
            added = np.array([chains[setting][0].value for setting in wanted])[:, None]
            np.testing.assert_array_equal(evaluate(wanted)[:, :, 0], 4 * (np.arange(7) + added))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_names_its_image(processes):
    with (
        evaluators(lambda setting: [Broken()], Sums(), cases(4), processes, 1 << 20) as evaluate,
        pytest.raises(ValueError, match="no such output: mask") as caught,
    ):
        evaluate([()])
    assert "while post-processing image '02'" in caught.value.__notes__


def test_a_killed_worker_is_an_error_not_a_wait():
    killed = Killed(os.getpid())
    with (
        evaluators(lambda setting: [killed], Sums(), cases(4), 2, 1 << 20) as evaluate,
        pytest.raises(RuntimeError, match="a worker exited with code 9"),
    ):
        evaluate([()])

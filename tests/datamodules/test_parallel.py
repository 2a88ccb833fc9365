"""Work in processes of their own."""

import os
import signal
import time

import numpy as np
import pytest

from datamodules.parallel import in_processes


class Stubborn(Exception):
    """An error that cannot be pickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def number(item):
    return item**2, os.getpid()


def slow(item):
    time.sleep(0.05)
    return item


def stubborn(item):
    raise Stubborn(item, item)


def killed(item):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("workers", "at_once"), [(0, 1), (1, 1), (2, 1), (3, 7)])
def test_results_come_in_order_from_other_processes(workers, at_once):
    found = list(in_processes(number, range(40), workers, at_once))
    assert [square for square, _ in found] == [item**2 for item in range(40)]
    assert (os.getpid() in {process for _, process in found}) == (workers < 2)


def test_a_closure_over_arrays_is_handed_over(tmp_path):
    table = np.arange(10)
    assert list(in_processes(lambda item: int(table[item]), [3, 5], 2)) == [3, 5]


def test_who_stops_early_waits_for_nothing_but_what_is_begun():
    found = in_processes(slow, range(2000), 2)
    assert next(found) == 0
    begun = time.monotonic()
    found.close()
    assert time.monotonic() - begun < 10  # all items take 50 s


def test_an_error_that_cannot_be_sent_is_told():
    with pytest.raises(RuntimeError, match="Stubborn: 1 and 1"):
        list(in_processes(stubborn, [1, 2], 2))


def test_a_process_that_is_killed_is_told():
    with pytest.raises(RuntimeError, match="was killed, most often for lack of memory; lower data.num_workers"):
        list(in_processes(killed, [1, 2], 2))
    with pytest.raises(RuntimeError, match="lack of memory; use --processes 1$"):
        list(in_processes(killed, [1, 2], 2, cure="use --processes 1"))

"""Equal counts of the predicted classes: of any set, in seconds, with a word of what was done."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postprocessing import EqualizeCounts
from postprocessing.dataset_step import DatasetContext

NOWHERE = DatasetContext()


def predictions(images, classes, skew=1.0, seed=0, dtype=np.float32):
    """A balanced truth, and predictions that like some classes too much: image id -> `(K,)`."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(images, classes)) + 3 * np.eye(classes)[np.arange(images) % classes]
    values = np.exp(values + skew * random.normal(size=classes))
    return {f"{n:06}": row for n, row in enumerate((values / values.sum(1, keepdims=True)).astype(dtype))}


def equalized(probabilities, **arguments):
    """`(N, K)` before and after, and the counts after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = EqualizeCounts(**arguments)(probabilities, NOWHERE)
    assert list(found) == sorted(probabilities)
    before, after = (np.stack([each[name] for name in found]) for each in (probabilities, found))
    return before, after, np.bincount(after.argmax(1), minlength=after.shape[1])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 120),
    st.floats(0, 6),
    st.integers(0, 10**6),
    st.sampled_from([np.float32, np.float16]),
    st.sampled_from(["iterative", "assignment"]),
)
def test_counts_differ_by_one_at_most(classes, more, skew, seed, dtype, method):
    before, after, counts = equalized(predictions(classes + more, classes, skew, seed, dtype), method=method)
    assert np.ptp(counts) <= 1
    assert after.min() >= 0
    assert after.max() <= 1
    if method == "iterative":  # every class is lowered by one number, and all together brought to 0..1
        for column, changed in zip(before.T, after.T, strict=True):
            assert (np.diff(changed[np.argsort(column, kind="stable")]) >= -1e-15).all()


@pytest.mark.parametrize("kind", ["alike", "one"])
def test_images_that_no_shift_can_tell_apart(kind):
    rows = np.tile([0.6, 0.3, 0.1], (30, 1)) if kind == "alike" else np.eye(3)[np.minimum(np.arange(30) // 14, 2)]
    _, after, counts = equalized({f"{n:02}": row.astype(np.float32) for n, row in enumerate(rows)})
    assert counts.tolist() == [10, 10, 10]
    assert after.min() >= 0
    assert after.max() <= 1


def test_the_order_of_twenty_thousand_images_stays():
    """float32 would make neighbours in the order equal once they are lowered."""
    before, after, counts = equalized(predictions(20_400, 34, skew=2))
    assert counts.tolist() == [600] * 34
    for number in range(34):
        one, other = before[:, number], after[:, number]
        np.testing.assert_array_equal(np.argsort(one, kind="stable"), np.argsort(other, kind="stable"))


def test_it_is_told_what_was_done():
    given = predictions(100, 4, skew=3)
    before = np.bincount(np.stack(list(given.values())).argmax(1), minlength=4)
    message = rf"the 4 classes of 'label' had {before.min()} to {before.max()} of 100 images and now have 25 to 25; \d+"
    with pytest.warns(UserWarning, match=message):
        EqualizeCounts()(given, NOWHERE)


def test_equal_counts_stay_as_they_are():
    given = {f"{n:02}": row for n, row in enumerate(np.eye(3, dtype=np.float32)[np.arange(10) % 3])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = EqualizeCounts()(given, NOWHERE)
    for name, row in given.items():
        np.testing.assert_array_equal(found[name], row)


@pytest.mark.parametrize("method", ["iterative", "assignment"])
def test_a_class_that_there_is_nothing_of(method):
    _, _, counts = equalized(predictions(90, 4), method=method, shares=[1, 0, 1, 1])
    np.testing.assert_allclose(counts, [30, 0, 30, 30], atol=1)


def test_probabilities_that_are_no_numbers_name_the_image():
    given = predictions(10, 3) | {"000007": np.array([0.1, np.nan, 0.2], np.float32)}
    with pytest.raises(ValueError, match="image '000007' has probabilities in 'label' that are not finite"):
        EqualizeCounts()(given, NOWHERE)


@pytest.mark.slow
def test_the_size_of_quick_draw_in_a_minute_and_two_gigabytes():
    call = [sys.executable, "-m", "benchmarks.equalize_counts", "112200", "340", "skewed"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    _, _, seconds, peak, before, after, _ = (cell.strip() for cell in done.stdout.split("|"))
    assert float(seconds) < 60
    assert float(peak) < 2000
    assert before.startswith("0 to ")
    assert after == "330 to 330"

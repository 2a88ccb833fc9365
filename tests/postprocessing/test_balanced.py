"""Rows in classes of given sizes, beside SciPy's assignment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from postprocessing.balanced import balance


def largest_sum(values, wanted):
    places = np.repeat(np.arange(len(wanted)), wanted)
    rows, columns = linear_sum_assignment(values[:, places], maximize=True)
    return values[rows, places[columns]].sum()


def preference(values, chosen, prices):
    """How much more another class is worth to the row that likes it most; 0: to none."""
    worth = values - prices
    return (worth.max(1) - worth[np.arange(len(values)), chosen]).max()


@st.composite
def tables(draw):
    """Values of every kind there is, and how many rows of each class are wanted."""
    classes, random = draw(st.integers(1, 7)), np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = draw(st.integers(classes, 80))
    values = random.random((rows, classes))
    kind = draw(
        st.sampled_from(["any", "alike", "nearly alike", "coarse", "one", "a favourite", "copies", "logarithms"])
    )
    if kind == "alike":
        values[:] = values[0]
    elif kind == "nearly alike":
        values = values[0] + 1e-3 * values
    elif kind == "coarse":
        values = values.round(1)
    elif kind == "one":
        values = (values == values.max(1, keepdims=True)).astype(float)
    elif kind == "a favourite":
        values[:, 0] += 5
    elif kind == "copies":
        values = values[random.integers(0, max(1, rows // 4), rows)]
    elif kind == "logarithms":
        values = np.log(values**20)
    equal = draw(st.booleans())
    shares = np.ones(classes) if equal else random.random(classes) * (random.random(classes) < 0.8) + 1e-9
    wanted = np.floor(rows * shares / shares.sum()).astype(int)
    wanted[random.permutation(classes)[: rows - wanted.sum()]] += 1
    return values, wanted


@settings(max_examples=200, deadline=None)
@given(tables())
def test_the_counts_are_exact_and_the_sum_is_the_largest(table):
    values, wanted = table
    chosen, prices = balance(values, wanted)
    np.testing.assert_array_equal(np.bincount(chosen, minlength=len(wanted)), wanted)
    scale = np.abs(values).max() + 1
    assert values[np.arange(len(values)), chosen].sum() >= largest_sum(values, wanted) - 1e-12 * len(values) * scale
    assert preference(values, chosen, prices) <= 1e-13 * scale
    assert prices.min() == 0


def test_prices_are_the_least_that_decide():
    """Two of four rows shall have each class; the second prefers the first class by 0.6, the third by 0.2."""
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    for clear, price in ((1e-9, 0.2), (1e-3, 0.201), (1.0, 0.4)):
        chosen, prices = balance(values, np.array([2, 2]), clear)
        assert chosen.tolist() == [0, 0, 1, 1]
        assert prices == pytest.approx([price, 0])


@pytest.mark.parametrize("rounds", [1, 5, 100_000])
def test_few_rounds_end_alike(rounds):
    random = np.random.default_rng(0)
    values = random.random((600, 12)) + 2 * random.random(12)
    chosen, _ = balance(values, np.full(12, 50), rounds=rounds)
    np.testing.assert_array_equal(chosen, balance(values, np.full(12, 50))[0])


def test_prices_leave_no_row_in_two_minds_where_there_is_a_choice():
    random = np.random.default_rng(0)
    values = random.random((600, 12)) + random.random(12)
    chosen, prices = balance(values, np.full(12, 50), clear=1.0)
    worth = (values - prices).astype(np.float32)
    np.testing.assert_array_equal(worth.argmax(1), chosen)


@pytest.mark.parametrize("kind", ["two favourites", "nearly alike", "one"])
def test_what_small_steps_would_never_end_with(kind):
    """Classes that only rows of each other like; rows that all like the same; rows that like one class alone."""
    random = np.random.default_rng(0)
    values = random.random((4_000, 40))
    if kind == "two favourites":
        values[:, :2] += 5
    elif kind == "nearly alike":
        values = random.random(40) + 1e-4 * values
    else:
        values = np.eye(40)[np.minimum(random.geometric(0.1, 4_000) - 1, 39)]
    chosen, prices = balance(values, np.full(40, 100))
    assert np.bincount(chosen).tolist() == [100] * 40
    assert preference(values, chosen, prices) <= 1e-14

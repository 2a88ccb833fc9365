import numpy as np
import pytest
from scipy import stats

from ensembling.rules import CHUNK, average, maximum, median, sum_to_one


def single(*values):
    return [np.array([value], np.float32) for value in values]


@pytest.mark.parametrize(
    ("rule", "expected"), [("mean", 0.625), ("geometric", 0.5), ("harmonic", 0.4), ("logit", None)]
)
def test_two_members_by_hand(rule, expected):
    given = single(0.25, 1)
    if rule == "logit":
        given, expected = single(0.2, 0.8), 0.5
    assert average(given, rule) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rule", ["mean", "geometric", "harmonic", "logit"])
@pytest.mark.parametrize("weights", [None, [3, 0, 1.5]])
def test_equal_to_the_definitions_over_more_than_a_chunk(rule, weights):
    random = np.random.default_rng(0)
    arrays = [random.uniform(0.01, 0.99, (2, 3, CHUNK // 4)).astype(np.float32) for _ in range(3)]
    stacked = np.stack(arrays).astype(np.float64)
    share = np.array(weights or [1, 1, 1], float)
    share = share / share.sum()
    if rule == "logit":
        expected = 1 / (1 + np.exp(-np.tensordot(share, np.log(stacked / (1 - stacked)), 1)))
    elif rule == "mean":
        expected = np.tensordot(share, stacked, 1)
    else:
        function = stats.gmean if rule == "geometric" else stats.hmean
        expected = function(stacked, axis=0, weights=np.broadcast_to(share[:, None, None, None], stacked.shape))
    result = average(arrays, rule, weights)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=2e-5)


def test_a_mean_of_ones_is_a_probability_and_zeros_have_a_floor():
    ones = [np.ones((1, 5, 5), np.float32)] * 7
    for rule in ("mean", "geometric", "harmonic", "logit"):
        assert average(ones, rule, [0.1, 0.3, 0.7, 0.9, 0.11, 0.13, 0.17]).max() <= 1
    assert average(single(0, 1), "geometric") == pytest.approx(np.sqrt(1e-3))
    assert average(single(0, 1), "geometric", floor=1e-4) == pytest.approx(1e-2)
    assert average(single(0, 1), "harmonic") == pytest.approx(2 / 1001)
    assert average(single(0, 1), "logit") == pytest.approx(0.5, abs=1e-5)
    assert average(single(-3, 5), "mean") == 1  # grades, embeddings


def test_softmax_is_renormalised():
    members = [np.array([0.7, 0.2, 0.1], np.float32), np.array([0.1, 0.6, 0.3], np.float32)]
    product = np.sqrt(members[0] * members[1])
    result = sum_to_one(average(members, "geometric"))
    np.testing.assert_allclose(result, product / product.sum(), rtol=1e-5)
    np.testing.assert_array_equal(sum_to_one(np.zeros((4, 2), np.float32)), np.full((4, 2), 0.25))


def test_median_and_maximum():
    random = np.random.default_rng(1)
    arrays = [random.random((1, 40, 1000)).astype(np.float32) for _ in range(4)]
    np.testing.assert_allclose(median(arrays), np.median(np.stack(arrays), axis=0))
    np.testing.assert_array_equal(maximum(arrays), np.stack(arrays).max(axis=0))
    # one member far off moves the mean and not the median
    assert median(single(0.1, 0.2, 1.0)) == np.float32(0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no member"),
        ((single(0.1, 0.2), "mean", [1]), "1 weights, expected 2"),
        ((single(0.1, 0.2), "mean", [1, -1]), "numbers ≥ 0"),
        ((single(0.1, 0.2), "mean", [0, 0]), "not all 0"),
        ((single(0.1, 0.2), "mean", [1, np.nan]), "finite"),
        ((single(0.1, 1.2), "geometric"), r"0\.?.* to 1.2|1.2"),
        ((single(0.1, 0.2), "cubic"), "averages is 'cubic'"),
        ((single(0.1, 0.2), "logit", None, 0.6), "floor is 0.6"),
        (([np.zeros((1, 2)), np.zeros((1, 3))],), "shapes"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        average(*arguments)

from dataclasses import replace

import numpy as np
import pytest

from ensembling.least_squares import Squares, as_probabilities, least_squares
from ensembling.weights import (
    Scores,
    alone,
    as_whole,
    best_cross_fitted,
    describe,
    find_single,
    find_weights,
    hill_climb,
    in_lowest_terms,
    parts_of,
    simplex,
)

IMAGES = 60


def planted(best, noise=0.0, seed=0, images=IMAGES):
    """Values of members whose mean with the weights `best` is the truth, and that truth."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(images, len(best)))
    truth = values @ (np.array(best) / sum(best)) + noise * random.normal(size=images)
    return values, truth


def scores_of(values, truth, higher=True):
    asked = []

    def evaluate(settings):
        asked.extend(settings)
        shares = np.array([np.array(weights) / sum(weights) for weights in settings])
        return ((shares @ values.T - truth) ** 2)[..., None] * (-1 if higher else 1)

    return Scores(evaluate, lambda rows: float(rows.mean()), higher), asked


ALL = np.ones(IMAGES, bool)


@pytest.mark.parametrize("higher", [True, False])
def test_climbing_finds_planted_weights_and_only_rises(higher):
    scores, asked = scores_of(*planted([3, 0, 1]), higher)
    path = hill_climb(scores, 3, ALL)
    assert path[-1][0] == (3, 0, 1)
    assert path[-1][1] == pytest.approx(0, abs=1e-12)
    gains = [gain for _, gain in path]
    assert gains == sorted(gains)
    assert gains[0] == max(scores.gain(one, ALL) for one in alone(3))
    assert len(asked) == len(set(asked))  # each weights once, and (2, 2) is (1, 1)
    assert all(np.gcd.reduce(weights) == 1 for weights in asked)


def test_climbing_is_never_worse_than_the_best_single():
    for seed in range(5):
        random = np.random.default_rng(seed)
        scores, _ = scores_of(random.normal(size=(IMAGES, 4)), random.normal(size=IMAGES))
        assert hill_climb(scores, 4, ALL, rounds=3)[-1][1] >= max(scores.gain(one, ALL) for one in alone(4))
    # a member that is the truth is left alone
    scores, _ = scores_of(*planted([0, 1, 0]))
    assert hill_climb(scores, 3, ALL) == [((0, 1, 0), pytest.approx(0))]


def test_a_step_that_gains_nothing_may_lead_to_one_that_does():
    gain = {(1, 0): 1.0, (0, 1): 0.0, (2, 1): 0.5, (3, 1): 2.0}

    def evaluate(settings):
        return np.array([[[gain.get(weights, -1.0)]] for weights in settings])

    scores = Scores(evaluate, lambda rows: float(rows.mean()), True)
    # member 0 taken again and again changes no score, and makes the step to the other one small enough
    assert hill_climb(scores, 2, np.ones(1, bool))[-1][0] == (3, 1)
    assert hill_climb(scores, 2, np.ones(1, bool), rounds=2)[-1][0] == (1, 0)


def test_the_simplex_search_finds_finer_weights_than_it_begins_with():
    values, truth = planted([0.62, 0.25, 0.13])
    scores, _ = scores_of(values, truth)
    begin = (1, 0, 0)
    found = simplex(scores, 3, ALL, begin, 300)
    np.testing.assert_allclose(np.array(found) / sum(found), [0.62, 0.25, 0.13], atol=0.03)
    assert scores.gain(found, ALL) > hill_climb(scores, 3, ALL, rounds=3)[-1][1]
    assert simplex(scores, 3, ALL, found, 20) is not None
    assert scores.gain(simplex(scores, 3, ALL, (62, 25, 13), 5), ALL) >= scores.gain((62, 25, 13), ALL)


@pytest.mark.parametrize("method", ["hill_climb", "simplex"])
def test_the_weights_of_a_fold_do_not_know_its_truth(method):
    parts = np.arange(IMAGES) % 3
    values, truth = planted([2, 1, 1], noise=0.3)
    found = find_weights(scores_of(values, truth)[0], 3, parts, method, 10)
    changed = truth.copy()
    changed[parts == 1] = values[parts == 1, 2]  # in fold 1 member 2 becomes perfect
    other = find_weights(scores_of(values, changed)[0], 3, parts, method, 10)
    assert other.by_part[1] == found.by_part[1]
    assert other.by_part[0] != found.by_part[0]
    assert other.weights != found.weights


def test_the_printed_scores():
    parts = np.arange(IMAGES) % 4
    values, truth = planted([2, 1, 1], noise=0.5)
    found = find_weights(scores_of(values, truth)[0], 3, parts, "hill_climb", 10)

    def score(weights, images):
        return -np.mean((values[images] @ np.array(weights) / sum(weights) - truth[images]) ** 2)

    assert found.singles == pytest.approx([score(one, ALL) for one in alone(3)])
    assert found.equal == pytest.approx(score((1, 1, 1), ALL))
    assert found.in_sample == pytest.approx(score(found.weights, ALL))
    by_hand = np.mean([score(found.by_part[part], parts == part) for part in range(4)])
    assert found.cross_fitted == pytest.approx(by_hand)
    assert found.in_sample >= max(found.cross_fitted, *found.singles)


def test_noise_is_found_out_by_cross_fitting():
    """Ten members of equal worth: what fits the images best is no better on others, and the printed score says so."""
    random = np.random.default_rng(3)
    truth = random.normal(size=IMAGES)
    values = truth[:, None] + random.normal(size=(IMAGES, 10))
    found = find_weights(scores_of(values, truth)[0], 10, np.arange(IMAGES) % 5, "hill_climb", 20)
    assert found.in_sample > found.equal > found.cross_fitted


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_single_member_is_found_without_the_part_it_is_scored_on(higher):
    parts = np.arange(IMAGES) % 3
    values, truth = planted([0, 1, 0], noise=0.5)
    found = find_single(scores_of(values, truth, higher)[0], 3, parts)
    assert found.weights == (0, 1, 0)
    assert set(found.by_part.values()) == {(0, 1, 0)}
    best = max if higher else min
    assert found.cross_fitted == pytest.approx(best(found.singles))
    changed = truth.copy()
    changed[parts == 1] = values[parts == 1, 2]  # in part 1 member 2 becomes perfect: the part itself does not know
    other = find_single(scores_of(values, changed, higher)[0], 3, parts)
    assert other.by_part[1] == (0, 1, 0)
    error = {m: (values[:, m] - changed) ** 2 for m in range(3)}
    assert other.by_part[0] == alone(3)[min(error, key=lambda m: error[m][parts != 0].mean())]


@pytest.mark.parametrize("higher", [True, False])
def test_what_is_taken_is_never_worse_than_the_best_single(higher):
    taken = set()
    sign = 1 if higher else -1
    for seed in range(12):
        random = np.random.default_rng(seed)
        truth = random.normal(size=IMAGES)
        noise = [(0.3, 2, 2), (1, 1, 1), (0.8, 1, 3)][seed % 3]  # two weak members, equals, one of each
        values = truth[:, None] + random.normal(size=(IMAGES, 3)) * noise
        scores, parts = scores_of(values, truth, higher)[0], np.arange(IMAGES) % 3
        found = {
            "searched": find_weights(scores, 3, parts, "hill_climb", 20),
            "single": find_single(scores, 3, parts),
            "equal": describe(scores, 3, parts, (1, 1, 1), dict.fromkeys(range(3), (1, 1, 1))),
        }
        chosen = best_cross_fitted(found, higher)
        taken.add(chosen)
        assert sign * found[chosen].cross_fitted == max(sign * one.cross_fitted for one in found.values())
        if len(set(found["single"].by_part.values())) == 1:  # one member is the best whichever part is left out
            assert sign * found[chosen].cross_fitted >= max(sign * single for single in found[chosen].singles)
    assert taken == {"searched", "equal", "single"}


def test_a_score_that_is_no_number_is_never_taken():
    scores, _ = scores_of(*planted([1, 1]))
    found = describe(scores, 2, np.zeros(IMAGES, int), (1, 1), {0: (1, 1)})
    nothing = replace(found, cross_fitted=float("nan"))
    assert best_cross_fitted({"a": nothing, "b": found}, True) == "b"
    assert best_cross_fitted({"a": nothing, "b": found}, False) == "b"
    assert best_cross_fitted({"a": found, "b": found}, True) == "a"


def test_given_weights_are_described_without_a_search():
    scores, asked = scores_of(*planted([1, 1]))
    found = describe(scores, 2, np.zeros(IMAGES, int), (1, 1), {0: (1, 1)})
    assert found.cross_fitted == found.in_sample == found.equal
    assert found.evaluations == len(asked) == 3
    with pytest.raises(ValueError, match="in one fold"):
        find_weights(scores, 2, np.zeros(IMAGES, int), "hill_climb")


def test_whole_weights():
    assert in_lowest_terms((4, 2, 0)) == (2, 1, 0)
    assert as_whole([1, 2, 4]) == (1, 2, 4)
    assert as_whole([0.5, 0.3, 0.2]) == (5, 3, 2)
    assert as_whole([1 / 3] * 3) == (1, 1, 1)
    with pytest.raises(ValueError, match="numbers ≥ 0"):
        as_whole([0.5, -0.5])


# --- parts -----------------------------------------------------------------------------------------------------------


def test_parts_are_folds_or_whole_groups():
    ids = [f"{n:02}" for n in range(20)]
    fold = {one: n % 3 for n, one in enumerate(ids)}
    assert parts_of(ids, fold, {}).tolist() == [n % 3 for n in range(20)]
    groups = {one: f"g{n // 4}" for n, one in enumerate(ids[:16])}
    parts = dict(zip(ids, parts_of(ids, dict.fromkeys(ids, 0), groups), strict=True))
    assert len(set(parts.values())) == 5
    for group in set(groups.values()):
        assert len({parts[one] for one in ids if groups.get(one) == group}) == 1
    backwards = dict(zip(ids[::-1], parts_of(ids[::-1], {}, groups), strict=True))
    assert backwards == parts
    assert set(parts_of(["a", "b"], {}, {})) == {0, 1}
    with pytest.raises(ValueError, match="two groups"):
        parts_of(["a", "b"], {}, {"a": "one", "b": "one"})


# --- least squares ---------------------------------------------------------------------------------------------------


def test_least_squares_is_the_constrained_optimum():
    random = np.random.default_rng(0)
    values = random.random((200, 3))
    truth = values @ [0.7, 0.0, 0.3] + 0.05 * random.normal(size=200) - 0.1 * values[:, 1]  # would be negative
    weights = least_squares(values.T @ values / 200, values.T @ truth / 200)
    grid = np.array([(a, b, 100 - a - b) for a in range(101) for b in range(101 - a)]) / 100
    best = grid[((grid @ values.T - truth) ** 2).mean(axis=1).argmin()]
    np.testing.assert_allclose(weights, best, atol=0.011)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] == pytest.approx(0, abs=1e-9)


def test_squares_are_summed_by_part_and_each_image_counts_the_same():
    random = np.random.default_rng(1)
    squares, matrices = Squares(2), []
    for number, side in enumerate((4, 9, 30)):
        truth = (random.random((1, side, side)) > 0.5).astype(np.uint8)
        members = [np.clip(truth * 0.8 + 0.2 * random.random(truth.shape), 0, 1).astype(np.float32) for _ in range(2)]
        squares.add(number, {"mask": members}, {"mask": truth, "other": truth})
        flat = np.stack(members).reshape(2, -1).astype(float)
        matrices.append((flat @ flat.T / side**2, flat @ truth.reshape(-1) / side**2))
    expected = least_squares(matrices[0][0] + matrices[2][0], matrices[0][1] + matrices[2][1])
    np.testing.assert_allclose(squares.weights(without=1), expected, atol=1e-6)
    with pytest.raises(ValueError, match="names of outputs"):
        squares.add(0, {"mask": members}, {"label": truth})


def test_truths_as_probabilities():
    numbers = np.array([[0, 2], [255, 1]], np.uint8)
    wanted, counted = as_probabilities(numbers, (3, 2, 2), "mask")
    assert wanted[:, counted].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert counted.tolist() == [[True, True], [False, True]]
    wanted, counted = as_probabilities(np.array([[0, 1], [255, 1]], np.uint8), (1, 2, 2), "mask")
    assert counted.sum() == 3
    wanted, counted = as_probabilities(np.array(2), (3,), "label")
    assert wanted[:, counted].reshape(-1).tolist() == [0, 0, 1]
    wanted, counted = as_probabilities(np.array([0.0, 1.0]), (2,), "label")
    assert wanted.tolist() == [0, 1]
    assert counted
    with pytest.raises(ValueError, match="use hill_climb"):
        as_probabilities(np.zeros((5, 5)), (1, 2, 2), "mask")

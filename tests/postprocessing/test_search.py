import math

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics import DicePerImage
from evaluation.metrics.base import CompetitionMetric
from postprocessing import MinimumArea, Threshold
from postprocessing.search import SearchImage, SearchResult, search
from postprocessing.step import Step
from predictions.store import PredictionStore


class Shift(Step):
    """Adds `value` to x, and `fine` / 10."""

    def __init__(self, value: float = 0.5, fine: int = 0):
        self.value = value
        self.fine = fine

    def __call__(self, prediction):
        return prediction | {"x": prediction["x"] + self.value + self.fine / 10}

    def search_space(self):
        return {"value": [0.0, 1.0, 2.0, 3.0, 4.0], "fine": [-2, -1, 0, 1, 2]}


class Between(Step):
    """Refuses a low bound above the high one."""

    def __init__(self, low: float = 0.2, high: float = 0.6):
        if low > high:
            raise ValueError(f"Between: low {low} is above high {high}")
        self.low, self.high = low, high

    def __call__(self, prediction):
        return prediction | {"x": prediction["x"] + self.low + self.high}

    def search_space(self):
        return {"low": [0.2, 0.4, 0.8], "high": [0.4, 0.6]}


class Choice(Step):
    """Hands its value on, for metrics that look at nothing else."""

    def __init__(self, value: int = 0, values: int = 6):
        self.value, self.values = value, values

    def __call__(self, prediction):
        return prediction | {"value": np.array(self.value)}

    def search_space(self):
        return {"value": list(range(self.values))}


class Fixed(Step):
    def __init__(self, value: float = 0.3, names: tuple = ("mask",), limit: int | None = None):
        self.value, self.names, self.limit = value, names, limit

    def __call__(self, prediction):
        return dict(prediction)


class Misspelt(Step):
    def __init__(self, value: float = 0.3):
        self.value = value

    def __call__(self, prediction):
        return dict(prediction)

    def search_space(self):
        return {"values": [0.1]}


VALUES = 6  # of Choice


class SquaredError(CompetitionMetric):
    higher_is_better = False

    def image(self, prediction, truth):
        return np.array([(prediction["x"][0] - truth["x"][0]) ** 2])

    def reduce(self, rows):
        return float(rows.mean())


class Closeness(SquaredError):
    higher_is_better = True

    def reduce(self, rows):
        return float(-np.sqrt(rows.mean()))


class Table(SquaredError):
    """Score of an image for each value, looked up in its truth; counts what it is asked."""

    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.asked = []

    def image(self, prediction, truth):
        self.asked.append((int(truth["number"]), int(prediction["value"])))
        return truth["scores"][int(prediction["value"])][None]


def constant(name, value):
    return lambda: {name: np.atleast_1d(np.asarray(value, np.float32))}


def shifted(distance, images=8, noise=0.0):
    generator = np.random.default_rng(0)
    targets = generator.normal(size=images)
    return [
        SearchImage(f"{i}", constant("x", target), constant("x", target + distance + noise * generator.normal()))
        for i, target in enumerate(targets)
    ]


def table(scores, groups=None):
    def truth(number):
        return lambda: {"scores": np.asarray(scores[number], float), "number": np.array(number)}

    return [
        SearchImage(f"{i:03}", constant("x", 0), truth(i), None if groups is None else groups[i])
        for i in range(len(scores))
    ]


@pytest.mark.parametrize("metric", [SquaredError(), Closeness()])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_planted_optimum_is_found(metric, processes):
    result = search([Fixed(), Shift()], metric, shifted(3.2), processes=processes)
    assert [type(step) for step in result.steps] == [Fixed, Shift]
    assert (result.steps[1].value, result.steps[1].fine) == (3.0, 2)
    assert result.in_sample == pytest.approx(0, abs=1e-5)
    assert result.cross_fitted == pytest.approx(0, abs=1e-5)
    assert result.before == pytest.approx(metric.reduce(np.array([[2.7**2]])), abs=1e-5)
    assert not result.keeps_configured
    assert result.recommended == result.steps
    # the given steps are untouched, and the configured value was a candidate too
    assert (result.configured[1].value, result.configured[1].fine) == (0.5, 0)
    assert result.values["1.Shift.value"] == (0.5, 3.0, 3.0, 3.0)
    curve = result.curves["1.Shift.value"]
    assert [value for value, _ in curve] == [0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    expected = [metric.reduce(np.array([[(value + 0.2 - 3.2) ** 2]])) for value, _ in curve]
    np.testing.assert_allclose([score for _, score in curve], expected, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(-5, 5, width=16), min_size=VALUES, max_size=VALUES), min_size=n, max_size=n
        )
    ),
    st.integers(0, VALUES - 1),
    st.integers(0, 5),
)
def test_the_score_in_sample_never_falls(scores, configured, seed):
    result = search([Choice(configured)], Table(), table(scores), seed=seed, processes=1)
    scores = np.array(scores)
    assert result.before == pytest.approx(scores[:, configured].mean())
    assert result.in_sample == pytest.approx(scores.mean(0).max())
    assert result.in_sample >= result.before
    # each image is scored with the value of one half; the pooled score is made of nothing else
    _, _, first, second = result.values["0.Choice.value"]
    assert scores.min(1).mean() - 1e-9 <= result.cross_fitted <= scores.max(1).mean() + 1e-9
    if first == second:
        assert result.cross_fitted == pytest.approx(scores[:, first].mean())


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_image_is_scored_with_values_it_took_part_in_finding(seed, grouped):
    # every image (or group) has a value of its own that is worth a fortune to it alone: a fit that sees it takes one
    # such value, and the fortune shows in the score if that fit is then applied to the images it saw
    scores = np.zeros((12, 13))
    groups = [f"patient{i // 3}" for i in range(12)] if grouped else None
    for number in range(12):
        scores[number, number // 3 + 1 if grouped else number + 1] = 1e6
    result = search([Choice(0, values=13)], Table(), table(scores, groups), seed=seed, processes=1)
    assert result.in_sample >= 1e6 / 12
    assert result.cross_fitted == 0


def test_values_of_a_half_do_not_depend_on_the_other_half():
    generator = np.random.default_rng(3)
    scores = generator.normal(size=(10, VALUES))
    plain = search([Choice(0)], Table(), table(scores), processes=1).values["0.Choice.value"][2:]
    changed = 0
    for number in range(10):
        altered = scores.copy()
        # a value neither half takes becomes this image's fortune
        wanted = next(value for value in range(VALUES) if value not in plain)
        altered[number, wanted] = 1e6
        found = search([Choice(0)], Table(), table(altered), processes=1).values["0.Choice.value"][2:]
        assert sorted([found[0] == plain[0], found[1] == plain[1]]) == [False, True]
        changed += found[0] != plain[0]
    assert changed == 5


def test_noise_is_not_sold_as_gain():
    # every value is as good as any other, so what is found in the sample is luck
    scores = np.random.default_rng(1).normal(size=(40, VALUES))
    gains, honest = [], []
    for seed in range(20):
        result = search([Choice(0)], Table(), table(scores), seed=seed, processes=1)
        gains.append(result.in_sample)
        honest.append(result.cross_fitted)
    assert np.mean(gains) > 0.1
    assert np.mean(honest) < np.mean(gains) - 0.1


def test_the_configured_values_stay_where_tuning_hurts_unseen_images():
    # every image has a value that is good for it and bad for all others; 0 suits all
    scores = np.full((4, VALUES), -50.0)
    scores[:, 0] = 0
    scores[range(4), range(1, 5)] = 100
    result = search([Choice(0)], Table(), table(scores), processes=1)
    assert result.cross_fitted < result.before == 0
    assert result.keeps_configured
    assert result.recommended[0].value == 0
    assert result.as_overlay()["competition"]["postprocess"][0]["init_args"] == {"value": 0, "values": 6}
    assert "configured values kept" in result.summary()


def test_every_setting_is_evaluated_once_on_every_image():
    metric = Table()
    scores = np.random.default_rng(0).normal(size=(7, VALUES))
    result = search([Choice(2)], metric, table(scores), sweeps=5, processes=1)
    assert sorted(metric.asked) == [(image, value) for image in range(7) for value in range(VALUES)]
    assert result.evaluations == VALUES


def test_order_of_images_does_not_matter_but_the_seed_does():
    scores = np.random.default_rng(5).normal(size=(9, VALUES))
    cases = table(scores)

    def score(cases, seed):
        return search([Choice(0)], Table(), cases, seed=seed, processes=1).cross_fitted

    assert score(cases, 0) == score(cases[::-1], 0)
    assert len({score(cases, seed) for seed in range(6)}) > 1


def test_halves_are_of_one_size_and_keep_groups_together():
    from postprocessing.search import _first_half

    cases = sorted(table(np.zeros((20, VALUES)), [f"g{i % 6}" for i in range(20)]))
    for seed in range(10):
        half = _first_half(cases, seed)
        assert half.sum() in (10, 9, 11)
        for group in {case.group for case in cases}:
            assert len({bool(half[i]) for i, case in enumerate(cases) if case.group == group}) == 1
    assert _first_half(table(np.zeros((9, VALUES))), 0).sum() == 5


def test_without_a_search_space_nothing_changes():
    chain = [Fixed()]
    result = search(chain, SquaredError(), shifted(1.0), processes=1)
    assert result.recommended == result.steps == chain
    assert result.before == result.cross_fitted == result.in_sample == pytest.approx(1, abs=1e-5)
    assert result.evaluations == 1
    assert result.curves == {}
    assert "nothing to tune" in result.summary()
    empty = search([], SquaredError(), shifted(1.0), processes=1)
    assert empty.as_overlay() == {"competition": {"postprocess": []}}


def test_values_that_a_step_refuses_together_are_left_out():
    result = search([Between()], SquaredError(), shifted(1.2), processes=1)
    # low 0.8 needs a high that is not there: best is 0.4 + 0.6
    assert (result.steps[0].low, result.steps[0].high) == (0.4, 0.6)
    low = dict(result.curves["0.Between.low"])
    assert math.isnan(low[0.8])
    assert low[0.4] == pytest.approx(0.04, abs=1e-5)


def test_of_equal_values_the_present_or_the_middle_one_is_taken():
    scores = np.zeros((4, VALUES))
    assert search([Choice(4)], Table(), table(scores), processes=1).steps[0].value == 4
    scores[:, 1:4] = 1
    assert search([Choice(5)], Table(), table(scores), processes=1).steps[0].value == 2


def test_a_score_that_is_not_a_number_is_never_chosen():
    scores = np.zeros((4, VALUES))
    scores[:, 3] = np.nan
    scores[:, 2] = 1
    assert search([Choice(0)], Table(), table(scores), processes=1).steps[0].value == 2


def test_the_overlay_is_plain_yaml_with_every_argument():
    result = search([Fixed(names=("mask", "border")), Shift(np.float64(3.0), 2)], SquaredError(), shifted(3.2))
    overlay = result.as_overlay()
    assert yaml.safe_load(yaml.safe_dump(overlay)) == overlay
    first, second = overlay["competition"]["postprocess"]
    assert first["init_args"] == {"value": 0.3, "names": ["mask", "border"], "limit": None}
    assert second["class_path"] == f"{Shift.__module__}.Shift"
    assert second["init_args"] == {"value": 3.0, "fine": 2}


@pytest.mark.parametrize(
    ("chain", "cases", "sweeps", "message"),
    [
        ([Misspelt()], shifted(1.0), 2, r"Misspelt.search_space\(\) names 'values'.*arguments are value"),
        ([Fixed()], shifted(1.0, images=1), 2, "1 images in 1 groups, expected at least two groups"),
        ([Fixed()], [], 2, "0 images in 0 groups"),
        ([Fixed()], shifted(1.0)[:1] * 2, 2, "image '0' is repeated"),
        ([Fixed()], shifted(1.0), 0, "sweeps is 0"),
    ],
)
def test_bad_input_is_told(chain, cases, sweeps, message):
    with pytest.raises(ValueError, match=message):
        search(chain, SquaredError(), cases, sweeps=sweeps, processes=1)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_real_chain_is_tuned_on_a_store(tmp_path, dtype):
    # squares of probability 0.8 in a haze of 0.6, and specks of 0.9 that are nothing
    generator = np.random.default_rng(0)
    store, truths, cases = PredictionStore(tmp_path), {}, []
    for number in range(6):
        probabilities = np.full((1, 48, 48), 0.6, np.float32) + generator.normal(0, 0.02, (1, 48, 48)).astype("f")
        truth = np.zeros((1, 48, 48), np.uint8)
        top, left = generator.integers(2, 20, 2)
        truth[0, top : top + 20, left : left + 20] = 1
        probabilities[truth > 0] = 0.8
        probabilities[0, 45:47, 2:40:6] = 0.9
        store.write(f"image {number}", {"mask": probabilities}, dtype)
        truths[f"image {number}"] = {"mask": truth}
        cases.append(
            SearchImage(
                f"image {number}",
                lambda name=f"image {number}": store.read(name),
                lambda name=f"image {number}": truths[name],
            )
        )
    chain = [Threshold(0.5), MinimumArea(4)]
    metric = DicePerImage()
    result = search(chain, metric, cases, processes=2)
    assert result.before < 0.5
    assert result.cross_fitted == result.in_sample == 1
    assert 0.7 <= result.steps[0].value < 0.8

    def score(steps):
        for case in cases:
            prediction = case.prediction()
            for step in steps:
                prediction = step(prediction)
            metric.add(case.image_id, prediction, case.targets())
        return float(metric.compute())

    # what the search says is what validation would say
    assert score(chain) == result.before
    assert score(result.recommended) == result.in_sample
    first = result.as_overlay()["competition"]["postprocess"][0]
    assert first["class_path"] == "postprocessing.Threshold"
    assert first["init_args"] == {"value": result.steps[0].value, "output": "mask", "result": None}


def test_a_search_that_cannot_be_scored_keeps_the_configured_values():
    result = SearchResult([Fixed()], [Fixed(0.5)], math.nan, math.nan, 1.0, {}, {}, {}, 1, True)
    assert result.recommended == result.configured


def test_what_each_step_brings_is_told():
    """A chain whose second step takes specks away, and whose third does nothing."""
    from evaluation.metrics import DicePerImage
    from postprocessing import FillHoles, MinimumArea, Threshold

    truth = np.zeros((1, 20, 20), np.uint8)
    truth[:, 5:15, 5:15] = 1
    cases = []
    for number in range(4):
        probabilities = truth.astype(np.float32) * 0.9
        probabilities[0, 0, number] = 0.9
        cases.append(SearchImage(str(number), lambda p=probabilities: {"mask": p}, lambda: {"mask": truth}))
    result = search([Threshold(0.5), MinimumArea(20), FillHoles()], DicePerImage(), cases, processes=2)
    assert np.isnan(result.without["0.Threshold"])
    assert result.in_sample - result.without["1.MinimumArea"] == pytest.approx(1 - 200 / 201)
    assert result.without["2.FillHoles"] == result.in_sample == 1
    text = result.summary()
    assert "0.Threshold is required by other steps" in text
    assert "1.MinimumArea gains +0.00498" in text

"""Chains, their search and what each step brings start from predictions without pixels that do not count."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembling.blend import Blend
from ensembling.least_squares import Squares
from ensembling.scoring import Scoring
from ensembling.stream import Stream
from evaluation.metrics import DiceGlobal, DicePerImage, InstanceAveragePrecision, IoUGlobal, IoUPerImage
from postprocessing import ArgMax, ConnectedComponents, FillHoles, MinimumArea, QuantileThreshold, Smooth, Threshold
from postprocessing.ablation import StepAblation
from postprocessing.search import SearchImage, search
from submissions.competition import Competition

SIDE = (12, 8)
CHAINS = {
    "areas": ([Threshold(), MinimumArea(4)], lambda: DicePerImage(), 1),
    "growing": ([Smooth("gaussian", 1), Threshold(), Smooth("close", 2)], lambda: IoUGlobal(), 1),
    "holes": ([Threshold(), FillHoles()], lambda: IoUPerImage(), 2),
    "objects": ([Threshold(), ConnectedComponents()], lambda: InstanceAveragePrecision(), 1),
    "quantile": ([QuantileThreshold()], lambda: DicePerImage(), 1),
    "classes": ([ArgMax("mask")], lambda: DiceGlobal(classes=3), 3),
    "no chain": ([], lambda: IoUGlobal(classes=3), 3),
}


def maps(random, channels):
    """Probabilities of a few blobs, in steps of a store in bytes."""
    coarse = random.random((channels, SIDE[0] // 4, SIDE[1] // 4))
    fine = np.kron(coarse, np.ones((4, 4))) * 0.8 + random.random((channels, *SIDE)) * 0.2
    return (np.rint(fine * 255) / 255).astype(np.float32)


def truth_of(random, channels, metric):
    found = maps(random, channels)
    if channels == 3:
        return {"mask": found.argmax(0)}
    if metric.output == "instances":
        return {"instances": np.kron(random.integers(0, 4, (3, 2)), np.ones((4, 4), int)).astype(np.int32)}
    return {"mask": (found > 0.5).astype(np.uint8)}


def pairs(name, seed, images=3):
    """The same images twice, other where pixels do not count: (prediction, truth)."""
    random, (_, build, channels) = np.random.default_rng(seed), CHAINS[name]
    one, other = [], []
    for _ in range(images):
        valid = random.random(SIDE) < 0.7
        valid[:, : random.integers(0, 6)] = False
        prediction, truth = {"mask": maps(random, channels)}, truth_of(random, channels, build())
        fresh = {"mask": maps(random, channels)} | truth_of(random, channels, build())
        changed = {"mask": np.where(valid, prediction["mask"], maps(random, channels))}
        key = next(iter(truth))
        one.append((prediction, truth | {"valid": valid}))
        other.append((changed, {key: np.where(valid, truth[key], fresh[key]).astype(truth[key].dtype), "valid": valid}))
    return one, other


def cases(made):
    return [SearchImage(str(n), lambda p=p: dict(p), lambda t=t: dict(t)) for n, (p, t) in enumerate(made)]


def found_by_search(name, made, **options):
    steps, build, _ = CHAINS[name]
    result = asdict(search(steps, build(), cases(made), processes=1, **options))
    return {key: value for key, value in result.items() if key not in ("configured", "steps")}


@pytest.mark.parametrize("name", CHAINS)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_lies_under_void_changes_neither_search_nor_score(name, seed):
    one, other = pairs(name, seed)
    np.testing.assert_equal(found_by_search(name, other), found_by_search(name, one))
    np.testing.assert_equal(found_by_search(name, other, memory=0), found_by_search(name, one))
    steps, build, _ = CHAINS[name]
    scores = []
    for made in (one, other):
        competition, gains = Competition(build(), postprocess=steps), StepAblation(steps, build())
        for number, (prediction, truth) in enumerate(made):
            competition.metric.add(str(number), competition.process(prediction, truth), truth)
            gains.add(str(number), prediction, truth)
        scores.append([float(competition.metric.compute()), *gains.scores()])
    np.testing.assert_array_equal(scores[0], scores[1])


def test_an_object_that_lies_half_under_void_is_as_large_as_what_is_known_of_it():
    probabilities = np.zeros((1, 4, 8), np.float32)
    probabilities[:, 1:3, 2:8] = 0.9
    truth = {"mask": np.zeros((1, 4, 8), np.uint8), "valid": np.broadcast_to(np.arange(8) < 4, (4, 8))}
    competition = Competition(DicePerImage(), postprocess=[Threshold(), MinimumArea(5)])
    assert competition.process({"mask": probabilities})["mask"].sum() == 12  # of a submission all is seen
    assert competition.process({"mask": probabilities}, truth)["mask"].sum() == 0
    assert probabilities.sum() == pytest.approx(0.9 * 12)


def test_what_a_step_grows_into_void_is_taken_out_by_the_metric():
    probabilities = np.zeros((1, 9, 9), np.float32)
    probabilities[0, 3:6, 3:6] = 1
    probabilities[0, 4, 4] = 0
    valid = np.ones((9, 9), bool)
    valid[4, 4] = False
    truth = {"mask": (probabilities > 0.5).astype(np.uint8), "valid": valid}
    competition = Competition(DicePerImage(), postprocess=[Threshold(), FillHoles()])
    processed = competition.process({"mask": probabilities}, truth)
    assert processed["mask"][0, 4, 4]
    assert competition.metric.image(processed, truth) == [1]


class Member:
    """A member of an ensemble whose predictions are in memory."""

    def __init__(self, entries):
        self.entries = entries

    def __contains__(self, image_id):
        return image_id in self.entries

    def entry(self, image_id, of_runs, names):
        return dict(self.entries[image_id])


WAYS = [(Blend(rule, softmax=softmax), "hill_climb") for rule, softmax in (("mean", []), ("geometric", ["mask"]))]


@pytest.mark.parametrize(("blend", "method"), [*WAYS, (Blend("max"), "hill_climb"), (Blend(), "least_squares")])
@pytest.mark.parametrize("name", ["areas", "classes"])
def test_weights_of_an_ensemble_do_not_see_what_does_not_count(name, blend, method):
    steps, build, channels = CHAINS[name]
    random, results = np.random.default_rng(5), []
    second = [{"mask": maps(random, channels)} for _ in range(3)]
    for made in pairs(name, 7):
        members = [{}, {}]
        for number, ((prediction, truth), other) in enumerate(zip(made, second, strict=True)):
            fresh = np.where(truth["valid"], other["mask"], maps(random, channels))
            members[0][str(number)], members[1][str(number)] = prediction, {"mask": fresh}
        stream = Stream([Member(entries) for entries in members], blend, sorted(members[0]))
        truths = {str(number): lambda t=t: dict(t) for number, (_, t) in enumerate(made)}
        scoring = Scoring(stream, truths, {one: int(one) % 2 for one in stream.ids})
        with scoring.scores(steps, build(), processes=1) as scores:
            results.append(asdict(scoring.search(scores, method, rounds=3)))
    assert results[0] == results[1]
    assert np.isfinite(results[0]["cross_fitted"])


def test_least_squares_of_an_image_of_which_nothing_counts():
    squares = Squares(2)
    arrays = [np.full((1, 2, 2), value, np.float32) for value in (0.2, 0.9)]
    squares.add(0, {"mask": arrays}, {"mask": np.ones((1, 2, 2)), "valid": np.zeros((2, 2), bool)})
    assert not squares.sums[0][0].any()
    half = np.array([[True, True], [False, False]])
    wrong = np.where(half, 1, 0)[None]
    squares.add(0, {"mask": arrays}, {"mask": wrong, "valid": half})
    assert squares.weights().tolist() == pytest.approx([0, 1], abs=1e-6)

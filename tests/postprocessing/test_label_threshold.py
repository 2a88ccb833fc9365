import numpy as np
import pytest
from jsonargparse import ArgumentParser

from evaluation.metrics import FBeta, QuadraticWeightedKappa
from postprocessing import ArgMax, LabelThreshold, Step
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def labels(step, *probabilities):
    return step({"label": np.array(probabilities, np.float32)})["label"]


def test_one_threshold_and_one_per_class():
    assert labels(LabelThreshold(0.3), 0.2, 0.3, 0.31).tolist() == [False, False, True]
    found = labels(LabelThreshold([0.1, 0.5, 0.2]), 0.2, 0.3, 0.31)
    assert found.tolist() == [True, False, True]
    assert found.dtype == bool


def test_the_best_where_none_passes():
    assert labels(LabelThreshold(0.5, best=True), 0.1, 0.4, 0.2).tolist() == [False, True, False]
    assert labels(LabelThreshold(0.5), 0.1, 0.4, 0.2).tolist() == [False] * 3
    assert labels(LabelThreshold(0.15, best=True), 0.1, 0.4, 0.2).tolist() == [False, True, True]


@pytest.mark.parametrize("grade", range(5))
def test_cut_points_of_a_regression(grade):
    found = labels(LabelThreshold([0.5, 1.5, 2.5, 3.5]), grade + 0.3)
    assert found.tolist() == (grade > np.arange(4)).tolist()


@pytest.mark.parametrize(
    ("step", "array", "message"),
    [
        (LabelThreshold(), np.ones((1, 4, 4), np.float32), r"float32 \(1, 4, 4\)"),
        (LabelThreshold(), np.ones(3, bool), "is it thresholded already"),
        (LabelThreshold([0.1, 0.2]), np.ones(3, np.float32), "2 values, expected 3"),
        (LabelThreshold([0.1, 0.2], best=True), np.ones(1, np.float32), "cut points of one output"),
        (LabelThreshold(output="tags"), np.ones(3, np.float32), r"requires 'tags'.*\['label'\]"),
        (ArgMax(), np.ones(3, bool), r"ArgMax expects probabilities.*bool \(3,\)"),
        (ArgMax(), np.ones((3, 4), np.float32), r"float32 \(3, 4\)"),
    ],
)
def test_wrong_kinds_are_told(step, array, message):
    with pytest.raises(ValueError, match=message):
        step({"label": array})


def test_arg_max_of_images_and_pixels():
    number = labels(ArgMax(), 0.2, 0.5, 0.3)
    assert (number.shape, number.dtype, int(number)) == ((), np.int64, 1)
    maps = np.random.default_rng(0).random((4, 5, 6), np.float32)
    kept = ArgMax("mask", "classes")({"mask": maps})
    np.testing.assert_array_equal(kept["classes"], maps.argmax(0))
    assert kept["mask"] is maps


def test_a_search_finds_the_threshold_that_f1_wants():
    random = np.random.default_rng(0)
    cases = []
    for number in range(200):
        true = random.random(6) < 0.15
        probabilities = np.clip(0.25 * true + 0.2 * random.random(6), 0, 1).astype(np.float32)
        read = lambda p=probabilities: {"label": p}  # noqa: E731
        truth = lambda t=true: {"label": t.astype(np.float32)}  # noqa: E731
        cases.append(SearchImage(str(number), read, truth))
    result = search([LabelThreshold(0.5)], FBeta(), cases, processes=1)
    assert result.before == 0
    assert 0.2 <= result.steps[0].value < 0.26
    assert result.cross_fitted > 0.95


def test_steps_come_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--steps", type=list[Step])
    steps = [
        {"class_path": "postprocessing.LabelThreshold", "init_args": {"value": [0.1, 0.2], "best": True}},
        {"class_path": "postprocessing.ArgMax"},
        {"class_path": "postprocessing.Resize", "init_args": {"size": [350, 525]}},
        {"class_path": "postprocessing.Clusters", "init_args": {"connectivity": 6, "spacing": [2.5, 0.7, 0.7]}},
    ]
    made = parser.instantiate(parser.parse_object({"steps": steps})).steps
    assert [type(step).__name__ for step in made] == ["LabelThreshold", "ArgMax", "Resize", "Clusters"]
    assert (made[0].value, made[2].size, made[3].connectivity) == ([0.1, 0.2], [350, 525], 6)
    for step in made:  # `search` makes copies from the attributes
        assert vars(step.replaced()) == vars(step)


def test_a_search_tunes_every_class_and_every_cut_point():
    random = np.random.default_rng(0)
    best, cases = np.array([0.1, 0.35, 0.7]), []
    for number in range(150):
        true = random.random(3) < 0.3
        probabilities = np.clip(best + np.where(true, 1, -1) * random.uniform(0.02, 0.2, 3), 0, 1).astype(np.float32)
        read = lambda p=probabilities: {"label": p}  # noqa: E731
        truth = lambda t=true: {"label": t.astype(np.float32)}  # noqa: E731
        cases.append(SearchImage(str(number), read, truth))
    result = search([LabelThreshold([0.5, 0.5, 0.5])], FBeta(), cases, processes=1)
    assert result.cross_fitted > 0.97 > result.before
    np.testing.assert_allclose(result.steps[0].value, best, atol=0.051)
    assert list(result.values) == [f"0.LabelThreshold.value[{place}]" for place in range(3)]
    assert result.as_overlay()["competition"]["postprocess"][0]["init_args"]["value"] == result.steps[0].value

    grades = []
    for number in range(200):
        grade = int(random.integers(0, 5))
        value = np.array([grade + random.uniform(-0.45, 0.45) - 0.2], np.float32)
        read = lambda v=value: {"label": v}  # noqa: E731
        truth = lambda g=grade: {"label": np.array(g)}  # noqa: E731
        grades.append(SearchImage(str(number), read, truth))
    cuts = search([LabelThreshold([0.5, 1.5, 2.5, 3.5])], QuadraticWeightedKappa(), grades, processes=1)
    assert cuts.cross_fitted > cuts.before
    np.testing.assert_allclose(cuts.steps[0].value, [0.3, 1.3, 2.3, 3.3], atol=0.11)


def test_search_finds_a_threshold_for_each_class_and_leaves_those_it_never_saw_alone():
    """Inclusive Images 2018, 3rd place: coordinate search by F2, and 0.99 for classes without any image out of fold."""
    random, planted, cases = np.random.default_rng(0), [0.2, 0.5, 0.8], []
    for number in range(60):
        probabilities = random.random(4).astype(np.float32)
        probabilities[3] = 0.3  # a class that no image has
        truth = np.array([*(probabilities[:3] > planted), False])
        cases.append(
            SearchImage(
                f"{number:02}", lambda p=probabilities: {"label": p}, lambda t=truth: {"label": t.astype(np.float32)}
            )
        )
    metric = FBeta(classes=4, beta=2, average="samples")
    found = search([LabelThreshold([0.99] * 4)], metric, cases, processes=1)
    assert found.in_sample >= found.before
    assert found.cross_fitted > 0.95
    values = found.steps[0].value
    np.testing.assert_allclose(values[:3], planted, atol=0.05)
    assert values[3] == 0.99

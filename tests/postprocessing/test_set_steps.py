"""Steps over all images together."""

import numpy as np
import pandas as pd
import pytest

from postprocessing import EqualizeCounts, MatchPrior, NearestNeighbour
from postprocessing.dataset_step import DatasetContext

NOWHERE = DatasetContext()


def softmax(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def skewed(images=300, classes=6, seed=0):
    """A balanced truth, and predictions that like the first classes too much."""
    random = np.random.default_rng(seed)
    truth = np.arange(images) % classes
    logits = random.normal(0, 1, (images, classes)) + 1.5 * np.eye(classes)[truth] - 0.6 * np.arange(classes)
    return truth, {f"{n:04}": row.astype(np.float32) for n, row in enumerate(softmax(logits))}


@pytest.mark.parametrize("method", ["iterative", "assignment"])
@pytest.mark.parametrize("images", [300, 304])
def test_counts_become_equal_and_accuracy_gains(method, images):
    truth, given = skewed(images)
    found = EqualizeCounts(method=method)(given, NOWHERE)
    chosen = np.array([found[name].argmax() for name in sorted(found)])
    before = np.array([given[name].argmax() for name in sorted(given)])
    counts = np.bincount(chosen, minlength=6)
    assert np.ptp(np.bincount(before, minlength=6)) > 40
    assert np.ptp(counts) <= 1
    assert (chosen == truth).mean() > (before == truth).mean() + 0.04


def test_the_order_within_a_class_stays():
    _, given = skewed()
    found = EqualizeCounts()(given, NOWHERE)
    for number in range(6):
        one, other = (np.array([each[name][number] for name in sorted(given)]) for each in (given, found))
        np.testing.assert_array_equal(np.argsort(one, kind="stable"), np.argsort(other, kind="stable"))
    exact = EqualizeCounts(method="assignment")(given, NOWHERE)
    for number in range(6):
        own = [name for name in sorted(exact) if exact[name].argmax() == number]
        one, other = (np.array([each[name][number] for name in own]) for each in (given, exact))
        assert (np.argsort(one, kind="stable") == np.argsort(other, kind="stable")).all()


def test_a_long_way_to_the_first_change_is_gone_in_whole_steps():
    """The offset is 0.2 away: the least number of steps that makes the counts equal, nothing assigned."""
    first = {"a": 0.9, "b": 0.8, "c": 0.6, "d": 0.3}
    probabilities = {name: np.array([p, 1 - p], np.float32) for name, p in first.items()}
    found = EqualizeCounts(rounds=300)(probabilities, NOWHERE)
    assert [int(found[name].argmax()) for name in "abcd"] == [0, 0, 1, 1]
    for name, array in probabilities.items():
        assert found[name] - array == pytest.approx([-0.2, 0], abs=0.0015)


def test_assignment_has_the_largest_sum_of_log_probabilities():
    from itertools import permutations

    random = np.random.default_rng(0)
    matrix = softmax(random.normal(size=(6, 3)) * 2)
    given = {str(n): row.astype(np.float32) for n, row in enumerate(matrix)}
    found = EqualizeCounts(method="assignment")(given, NOWHERE)
    chosen = [int(found[str(n)].argmax()) for n in range(6)]
    best = max(
        sum(np.log(matrix[n, k]) for n, k in enumerate(order)) for order in set(permutations([0, 0, 1, 1, 2, 2]))
    )
    assert sum(np.log(matrix[n, k]) for n, k in enumerate(chosen)) == pytest.approx(best, rel=1e-5)


def test_shares_that_are_not_equal():
    _, given = skewed(300, 3)
    found = EqualizeCounts(shares=[3, 1, 1])(given, NOWHERE)
    counts = np.bincount([row.argmax() for row in found.values()], minlength=3)
    np.testing.assert_allclose(counts, [180, 60, 60], atol=1)


def test_what_cannot_be_equal_is_refused():
    with pytest.raises(ValueError, match="2 images for 6 classes"):
        EqualizeCounts()(dict(list(skewed()[1].items())[:2]), NOWHERE)
    with pytest.raises(ValueError, match="shares has 2 values, expected 6"):
        EqualizeCounts(shares=[1, 1])(skewed()[1], NOWHERE)
    with pytest.raises(ValueError, match="image 'b' has float32"):
        EqualizeCounts()({"a": np.zeros(2, np.float32), "b": np.zeros((2, 2), np.float32)}, NOWHERE)


def test_shares_of_the_training_set_are_matched():
    random = np.random.default_rng(0)
    given = {f"{n:03}": random.random(4).astype(np.float32) for n in range(100)}
    labels = {f"t{n}": np.array([n % 2 == 0, n % 10 == 0, n == 0, False], np.float32) for n in range(200)}
    found = MatchPrior()(given, DatasetContext(labels=lambda: labels))
    matrix = np.stack([found[name] for name in sorted(found)])
    assert matrix.dtype == bool
    np.testing.assert_array_equal(matrix.sum(0), [50, 10, 1, 0])  # the rare class keeps one image
    values = np.stack([given[name] for name in sorted(given)])
    for number in range(3):
        assert values[matrix[:, number], number].min() >= values[~matrix[:, number], number].max()
    fixed = MatchPrior(shares=[0.2, 0.2, 0.2, 1.0])(given, NOWHERE)
    np.testing.assert_array_equal(np.stack(list(fixed.values())).sum(0), [20, 20, 20, 100])
    single = {f"t{n}": np.array(n % 4) for n in range(40)}
    np.testing.assert_array_equal(
        np.stack(list(MatchPrior()(given, DatasetContext(labels=lambda: single)).values())).sum(0), [25] * 4
    )
    with pytest.raises(ValueError, match="2 shares, expected 4"):
        MatchPrior(shares=[0.5, 0.5])(given, NOWHERE)


@pytest.fixture
def features(tmp_path):
    """Three training images in directions of their own, test images near the first, between two, far from all."""
    vectors = {
        "train": (["a", "b", "c"], np.eye(4)[:3] * [[2], [3], [4]]),
        "test": (["x", "y", "z"], np.array([[5, 0.5, 0, 0], [1, 0.9, 0, 0], [0, 0, 0, 1.0]])),
    }
    for name, (ids, matrix) in vectors.items():
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "features.npy", matrix.astype(np.float32))
        pd.DataFrame({"image_id": ids}).to_csv(tmp_path / name / "ids.csv", index=False)
    return tmp_path


LABELS = {"a": np.array([1, 0], np.float32), "b": np.array([0, 1], np.float32), "c": np.array([1, 1], np.float32)}


def test_near_images_take_the_labels_and_far_ones_keep_theirs(features):
    given = {name: np.array([0.3, 0.4], np.float32) for name in "xyz"}
    step = NearestNeighbour(str(features / "train"), str(features / "test"))
    found = step(given, DatasetContext(labels=lambda: LABELS))
    assert found["x"].tolist() == [1, 0]
    assert found["y"].tolist() == [1, 0]  # cosine 0.74
    assert found["z"].tolist() == pytest.approx([0.3, 0.4])
    strict = NearestNeighbour(str(features / "train"), str(features / "test"), threshold=0.8)
    assert strict(given, DatasetContext(labels=lambda: LABELS))["y"].tolist() == pytest.approx([0.3, 0.4])


def test_out_of_fold_no_image_takes_labels_of_its_own_fold(features):
    np.save(features / "train" / "features.npy", np.array([[1, 0], [1, 0.01], [1, 0.3]], np.float32))
    given = {name: np.array([0.3, 0.4], np.float32) for name in "abc"}
    step = NearestNeighbour(str(features / "train"))
    found = step(given, DatasetContext({"a": 0, "b": 0, "c": 1}, lambda: LABELS))
    assert found["a"].tolist() == found["b"].tolist() == [1, 1]  # of c, though each other is nearer
    assert found["c"].tolist() == [0, 1]
    alone = step(given, DatasetContext({"a": 0, "b": 0, "c": 0}, lambda: LABELS))
    assert all(value.tolist() == pytest.approx([0.3, 0.4]) for value in alone.values())


def test_missing_features_are_named(features):
    with pytest.raises(ValueError, match="has no ids.csv|lacks ids.csv"):
        NearestNeighbour("nowhere")({"a": np.zeros(2, np.float32)}, DatasetContext({"a": 0}, lambda: LABELS))
    with pytest.raises(ValueError, match="no features of image 'q'"):
        NearestNeighbour(str(features / "train"))(
            {"q": np.zeros(2, np.float32)}, DatasetContext({"q": 0}, lambda: LABELS)
        )
    with pytest.raises(ValueError, match="test is not set"):
        NearestNeighbour(str(features / "train"))({"x": np.zeros(2, np.float32)}, DatasetContext(labels=lambda: LABELS))

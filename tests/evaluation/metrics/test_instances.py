import numpy as np
import pytest

from evaluation.metrics import InstanceAveragePrecision


def reference(predicted, target):
    """The competition's definition, pair by pair."""
    true = [target == i for i in np.unique(target) if i]
    found = [predicted == i for i in np.unique(predicted) if i]
    if not true and not found:
        return 1.0
    scores = []
    for threshold in np.arange(50, 100, 5) / 100:
        hits = sum(any((t & f).sum() / (t | f).sum() > threshold for f in found) for t in true)
        scores.append(hits / (len(true) + len(found) - hits))
    return float(np.mean(scores))


def random_pair(random):
    target = np.kron(random.integers(0, 5, (4, 4)), np.ones((6, 6), int)) * random.integers(1, 9)
    predicted = np.where(random.random(target.shape) < random.choice([0.02, 0.2]), 0, target)
    return np.roll(predicted, random.integers(0, 3), axis=0).astype(np.int32), target.astype(np.int32)


def test_equals_the_definition_image_by_image():
    random = np.random.default_rng(0)
    metric = InstanceAveragePrecision()
    expected = []
    for number in range(60):
        predicted, target = random_pair(random)
        metric.add(str(number), {"instances": predicted}, {"instances": target})
        expected.append(reference(predicted, target))
    assert list(metric.scores().values()) == pytest.approx(expected)
    assert float(metric.compute()) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batch_size_plays_no_part(size):
    random = np.random.default_rng(1)
    pairs = [random_pair(random) for _ in range(7)]
    metric = InstanceAveragePrecision()
    for start in range(0, 7, size):
        part = pairs[start : start + size]
        metric.update([one for one, _ in part], [other for _, other in part])
    assert float(metric.compute()) == pytest.approx(np.mean([reference(*pair) for pair in pairs]))


def test_empty_images():
    empty, one = np.zeros((4, 4), int), np.eye(4, dtype=int)
    metric = InstanceAveragePrecision()
    assert metric.image({"instances": empty}, {"instances": empty}) == [1]
    assert metric.image({"instances": one}, {"instances": empty}) == [0]
    assert metric.image({"instances": empty}, {"instances": one}) == [0]


def test_low_thresholds_are_refused():
    with pytest.raises(ValueError, match=r"0\.3"):
        InstanceAveragePrecision([0.3])

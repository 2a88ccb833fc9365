"""Metrics of objects and of one mask per image: TGS salt, Airbus, DSTL."""

import numpy as np
import pytest

from evaluation.metrics import InstanceFBeta, IoUGlobal, IoUPrecision

THRESHOLDS = [0.5 + 0.05 * n for n in range(10)]


def rectangle(*corners, shape=(20, 20)):
    mask = np.zeros(shape, bool)
    top, left, bottom, right = corners
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(("width", "steps"), [(10, 10), (9, 8), (8, 6), (7, 4), (6, 2), (5, 0), (4, 0), (0, 0)])
def test_salt_counts_thresholds_below_the_iou(width, steps):
    true, predicted = rectangle(0, 0, 10, 10), rectangle(0, 0, 10, width)
    # IoU is width / 10; an IoU of exactly a threshold is not above it
    row = IoUPrecision().image({"mask": predicted[None]}, {"mask": true[None].astype(np.uint8)})
    assert row == pytest.approx(np.array([steps / 10]))


def test_salt_equals_a_plain_loop_and_its_empty_cases():
    random = np.random.default_rng(0)
    pairs = [
        (random.random((1, 8, 8)) < random.random(), random.random((1, 8, 8)) < random.random()) for _ in range(40)
    ]
    nothing, something = np.zeros((1, 8, 8), bool), np.ones((1, 8, 8), bool)
    pairs += [(nothing, nothing), (nothing, something), (something, nothing), (something, something)]
    scores = []
    for predicted, true in pairs:
        union = (predicted | true).sum()
        overlap = (predicted & true).sum() / union if union else 1
        scores.append(sum(overlap > threshold + 1e-9 for threshold in THRESHOLDS) / 10)
    assert scores[-4:] == [1, 0, 0, 1]
    metric = IoUPrecision()
    metric.update([p for p, _ in pairs], [t for _, t in pairs])
    assert float(metric.compute()) == pytest.approx(np.mean(scores))


def test_salt_is_one_mask_without_probabilities():
    with pytest.raises(ValueError, match="2 channels"):
        IoUPrecision().image({"mask": np.ones((2, 4, 4), bool)}, {"mask": np.ones((2, 4, 4), bool)})
    with pytest.raises(ValueError, match="Threshold"):
        IoUPrecision().image({"mask": np.ones((1, 4, 4))}, {"mask": np.ones((1, 4, 4), bool)})


def reference_fbeta(predicted, true, beta=2):
    """Every pair of objects in a plain loop."""
    found, wanted = ([m == n for n in np.unique(m) if n] for m in (predicted, true))
    if not found and not wanted:
        return 1.0
    scores = []
    for threshold in THRESHOLDS:
        hits = sum(any((p & t).sum() / (p | t).sum() > threshold + 1e-9 for p in found) for t in wanted)
        missed, extra = len(wanted) - hits, len(found) - hits
        scores.append((1 + beta**2) * hits / ((1 + beta**2) * hits + beta**2 * missed + extra))
    return float(np.mean(scores))


def ships(seed):
    """Three true ships or fewer, found shifted, missed, or beside a false one."""
    random = np.random.default_rng(seed)
    true, predicted = np.zeros((2, 40, 40), np.int32)
    for number in range(random.integers(0, 4)):
        top, size, shift = 13 * number, random.integers(4, 12), random.integers(0, 3)
        true[top : top + size, :size] = number + 1
        if random.random() < 0.8:
            predicted[top : top + size, shift : shift + size] = 5 * number + 2
    if random.random() < 0.5:
        predicted[30:35, 30:35] = 1
    return predicted, true


def test_ships_equal_a_plain_loop():
    pairs = [ships(seed) for seed in range(60)]
    expected = [reference_fbeta(*pair) for pair in pairs]
    metric = InstanceFBeta()
    metric.update([p for p, _ in pairs], [t for _, t in pairs])
    np.testing.assert_allclose([metric.image_score(row) for row in metric.rows.values()], expected)
    assert float(metric.compute()) == pytest.approx(np.mean(expected))
    assert 0.1 < np.mean(expected) < 0.9


def test_ships_in_empty_images():
    nothing, something = np.zeros((9, 9), np.int32), np.ones((9, 9), np.int32)
    for predicted, true, score in [(nothing, nothing, 1), (nothing, something, 0), (something, nothing, 0)]:
        assert InstanceFBeta().image({"instances": predicted}, {"instances": true}) == [score]
    with pytest.raises(ValueError, match=r"'instances' is bool \(1, 9, 9\), expected instance ids"):
        InstanceFBeta().image({"instances": np.ones((1, 9, 9), bool)}, {"instances": something})


def test_recall_counts_more():
    true = np.zeros((20, 20), np.int32)
    true[:5, :5], true[10:15, 10:15] = 1, 2
    missed, extra = np.where(true == 1, 1, 0), true.copy()
    extra[17:, 17:] = 3
    metric = InstanceFBeta()
    assert metric.image({"instances": missed}, {"instances": true})[0] == pytest.approx(5 / 9)
    assert metric.image({"instances": extra}, {"instances": true})[0] == pytest.approx(10 / 11)


def test_dstl_is_the_mean_over_classes_of_the_global_iou():
    random = np.random.default_rng(0)
    sizes = [(12, 9), (7, 30), (16, 16)]
    images = [(random.random((10, *size)) < 0.4, random.random((10, *size)) < 0.3) for size in sizes]
    counts = np.zeros((10, 3))
    for predicted, true in images:
        counts[:, 0] += (predicted & true).sum((1, 2))
        counts[:, 1] += (predicted & ~true).sum((1, 2))
        counts[:, 2] += (~predicted & true).sum((1, 2))
    metric = IoUGlobal()
    metric.update([p for p, _ in images], [t for _, t in images])
    assert float(metric.compute()) == pytest.approx((counts[:, 0] / counts.sum(1)).mean())

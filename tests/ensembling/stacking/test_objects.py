"""Features of objects, ways to split them, and the second level over both."""

import numpy as np
import pytest

from ensembling.stacking.cross_fit import cross_fit
from ensembling.stacking.features import Table
from ensembling.stacking.models import Model, Target
from ensembling.stacking.object_features import feature_names, features
from ensembling.stacking.objects import choose, overlaps, split_objects
from evaluation.metrics import InstanceAveragePrecision
from postprocessing import ObjectScore

ROWS, COLUMNS = np.mgrid[:48, :64]


def disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def picture():
    """Two discs run together (ids 3) and one alone (id 8)."""
    left, right, alone = disc(16, 14, 8), disc(16, 27, 8), disc(34, 50, 6)
    instances = np.zeros((48, 64), np.int32)
    instances[left | right], instances[alone] = 3, 8
    body = np.where(instances > 0, 0.9, 0.1)
    body[left & right] = 0.75  # the neck is uncertain
    border = np.where((COLUMNS == 20) & (instances == 3), 0.5, 0.0)
    truth = np.zeros((48, 64), np.int32)
    truth[left & (COLUMNS <= 20)], truth[right & (COLUMNS > 20)], truth[alone] = 1, 2, 3
    return instances, body, border, truth


def test_objects_are_split_where_the_probabilities_have_several_peaks():
    instances, body, border, truth = picture()
    objects = split_objects(instances, body, border, [0.3, 0.6])
    base, low, high = objects.labels
    assert sorted(np.unique(base)) == [0, 1, 2]  # numbered anew
    assert low.max() == 0  # one peak at 0.3
    assert objects.parent[1].tolist() == []
    assert objects.parent[2].tolist() == [0, 0]
    assert ((high > 0) == (instances == 3)).all()  # parts cover their object
    assert objects.count == 4
    iou = overlaps(objects, truth)
    assert iou[0] == 0  # the union of two reaches no half with either
    assert (iou[1:] > 0.95).all()
    # no border, no peaks
    assert split_objects(instances, np.where(instances > 0, 0.9, 0.1), None, [0.6]).count == 2
    empty = split_objects(np.zeros((48, 64), int), body, border)
    assert empty.count == 0
    assert overlaps(empty, truth).shape == (0,)
    assert overlaps(objects, np.zeros_like(truth)).tolist() == [0, 0, 0, 0]
    assert split_objects(np.full((4, 4), 7), np.ones((4, 4)), None).labels[0].tolist() == [[1] * 4] * 4


def test_the_way_of_splitting_with_the_best_mean_is_chosen():
    instances, body, border, _ = picture()
    objects = split_objects(instances, body, border, [0.6])
    whole, scores = choose(objects, np.array([0.8, 0.4, 0.9, 0.6]))  # parts 0.75 in the mean
    assert ((whole > 0) == (instances > 0)).all()
    assert whole.max() == 2
    np.testing.assert_allclose(scores, [0.8, 0.4])
    parts, scores = choose(objects, np.array([0.7, 0.4, 0.9, 0.6]))
    assert sorted(np.unique(parts)) == [0, 1, 2, 3]
    by_id = {int(parts[16, 10]): 0.9, int(parts[16, 30]): 0.6, int(parts[34, 50]): 0.4}
    np.testing.assert_allclose(scores, [by_id[n] for n in (1, 2, 3)])
    assert parts[34, 50] not in (parts[16, 10], parts[16, 30])


def test_features_by_hand():
    instances, body, border, _ = picture()
    objects = split_objects(instances, body, border, [0.6])
    maps = {"body": body, "border": border}
    names = feature_names(list(maps))
    values = features(objects, maps)
    assert values.shape == (4, len(names))
    assert len(set(names)) == len(names) >= 50
    assert np.isfinite(values).all()
    row = dict(zip(names, values[1], strict=True))  # the disc alone
    inside = disc(34, 50, 6)
    assert row["area"] == inside.sum()
    assert row["height"] == row["width"] == 13
    assert row["body_mean"] == pytest.approx(0.9)
    assert row["body_around"] == pytest.approx(0.1)
    assert row["border_mean"] == 0
    assert row["eccentricity"] == pytest.approx(0, abs=1e-3)
    assert row["solidity"] > 0.9
    assert row["objects"] == 2
    assert row["touching"] == 0
    assert row["at_border"] == 0
    assert row["near_50"] == 2  # the other and itself
    assert row["share_of_object"] == 1
    assert row["parts"] == row["level"] == 0 or row["parts"] == 1
    both = disc(16, 14, 8) | disc(16, 27, 8)
    centre = np.array([ROWS[both].mean(), COLUMNS[both].mean()])
    assert row["distance1"] == pytest.approx(np.hypot(*(centre - [34, 50])), rel=1e-4)
    assert row["distance2"] == pytest.approx(np.hypot(48, 64), rel=1e-4)  # there is no second
    assert row["size1"] == pytest.approx(both.sum() / inside.sum(), rel=1e-4)
    part = dict(zip(names, values[2], strict=True))
    assert part["level"] == 1
    assert part["parts"] == 2
    assert 0.4 < part["share_of_object"] < 0.6
    assert part["distance1"] == values[0][names.index("distance1")]
    # one pixel, a line, and a whole image are objects too
    small = np.zeros((8, 9), int)
    small[0, 0], small[3, 1:8] = 1, 2
    assert np.isfinite(features(split_objects(small, np.ones((8, 9)), None), {"body": np.ones((8, 9))})).all()
    full = np.ones((5, 5), int)
    assert np.isfinite(features(split_objects(full, np.ones((5, 5)), None), {"body": np.ones((5, 5))})).all()
    assert features(split_objects(small * 0, small + 0.0, None), {"body": small}).shape == (0, len(names) - 8)


def test_moving_and_mirroring_an_image_changes_no_feature():
    instances, body, border, _ = picture()
    maps = {"body": body, "border": border}
    one = features(split_objects(instances, body, border, [0.6]), maps)
    mirrored = {name: values[::-1].copy() for name, values in maps.items()}
    other = features(split_objects(instances[::-1], mirrored["body"], mirrored["border"], [0.6]), mirrored)
    np.testing.assert_allclose(one[:2], other[:2], atol=1e-3, rtol=1e-3)


def scene(seed):
    """True discs, one planted ring and one planted stick, and a probability map that believes in all of them."""
    random = np.random.default_rng(seed)
    truth, found = np.zeros((2, 48, 64), np.int32)
    for number, column in enumerate((10, 30, 52)):
        own = disc(random.integers(12, 16), column + random.integers(-1, 2), random.integers(6, 9))
        truth[own] = found[own] = number + 1
    row, column = random.integers(34, 37), random.integers(12, 20)
    found[disc(row, column, 8) & ~disc(row, column, 6)] = 4
    found[random.integers(32, 42) : random.integers(43, 46), 44:47] = 5
    return found, np.where(found > 0, 0.9, 0.1) + random.normal(0, 0.02, found.shape), truth


def test_planted_false_objects_are_dropped_out_of_fold():
    lightgbm = pytest.importorskip("lightgbm")
    assert lightgbm
    scenes = [scene(seed) for seed in range(16)]
    made = [split_objects(found, body, None) for found, body, _ in scenes]
    rows = [features(one, {"body": body}) for one, (_, body, _) in zip(made, scenes, strict=True)]
    iou = np.concatenate([overlaps(one, truth) for one, (_, _, truth) in zip(made, scenes, strict=True)])
    owner = np.repeat(np.arange(16), [len(one) for one in rows])
    table = Table(feature_names(["body"]), np.concatenate(rows), owner, 16)
    arguments = {"n_estimators": 30, "min_child_samples": 5, "num_leaves": 7, "n_jobs": 1}
    model = Model("lightgbm.LGBMRegressor", arguments)
    scores = cross_fit(table, Target("number", iou[:, None], 1), {}, model, np.arange(16) % 4, 0)["val"][:, 0]
    before, after, step = InstanceAveragePrecision(), InstanceAveragePrecision(), ObjectScore()
    for number, (one, (found, _, truth)) in enumerate(zip(made, scenes, strict=True)):
        instances, own = choose(one, scores[owner == number])
        kept = step({"instances": instances, "object_scores": own})["instances"]
        before.add(str(number), {"instances": found}, {"instances": truth})
        after.add(str(number), {"instances": kept}, {"instances": truth})
        assert ((kept > 0) == (truth > 0)).all()
    assert float(before.compute()) == pytest.approx(3 / 5)
    assert float(after.compute()) == 1

"""UW-Madison's score against scipy and plain loops."""

import numpy as np
import pytest
from scipy.spatial.distance import directed_hausdorff

from evaluation.interval import bootstrap_interval
from evaluation.metrics import DiceHausdorff, dice_hausdorff
from evaluation.metrics.dice_hausdorff import hausdorff
from postprocessing import Threshold
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def random_masks(seed, shape=(5, 9, 12)):
    random = np.random.default_rng(seed)
    return random.random(shape) < random.choice([0.02, 0.3]), random.random(shape) < random.choice([0.02, 0.3])


def plain(one, other):
    points = np.argwhere(one), np.argwhere(other)
    return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])


@pytest.mark.parametrize("many", [0, 500_000])
def test_distance_is_scipys(many, monkeypatch):
    monkeypatch.setattr(dice_hausdorff, "MANY", many)
    for seed in range(25):
        one, other = random_masks(seed)
        if one.any() and other.any():
            assert hausdorff(one, other) == pytest.approx(plain(one, other))
            assert hausdorff(one, one) == 0
    hollow = np.ones((9, 9, 9), bool)
    hollow[2:7, 2:7, 2:7] = False  # the middle is farthest from it, not a border
    assert hausdorff(np.ones((9, 9, 9), bool), hollow) == 3
    nothing = np.zeros((3, 4, 5), bool)
    assert hausdorff(nothing, nothing) == 0
    assert hausdorff(nothing, ~nothing) == float("inf")


def study(days=3, slices=4, classes=3, seed=0):
    """Ids in any order, with predictions and truths; some masks empty, some organs absent."""
    random, found = np.random.default_rng(seed), {}
    for day in range(days):
        size = (8 + day, 10)
        for number in range(1, slices + 1):
            masks = random.random((2, classes, *size)) < 0.15
            for mask in masks:
                mask[random.random(classes) < 0.4] = False
            masks[:, 2] = False  # nowhere in either
            masks[0, 1] &= day != 0  # in the truth alone on one day
            image_id = f"case7_day{day}_slice_{number:04}"
            found[image_id] = {"mask": masks[0]}, {"mask": masks[1].astype(np.uint8)}
    names = list(found)
    random.shuffle(names)
    return {name: found[name] for name in names}


def reference(images, empty):
    dices, near, volumes = [], [], sorted({name.rpartition("_slice_")[0] for name in images})
    for volume in volumes:
        names = sorted(name for name in images if name.startswith(volume + "_"))
        stacks = [np.stack([images[name][part]["mask"] > 0 for name in names], axis=1) for part in (0, 1)]
        for one, other in zip(*stacks, strict=True):
            for p, t in zip(one, other, strict=True):
                total = p.sum() + t.sum()
                dices.append(2 * (p & t).sum() / total if total else empty)
            diagonal = np.sqrt(sum(side**2 for side in one.shape))
            if one.any() and other.any():
                near.append(1 - plain(one, other) / diagonal)
            else:
                near.append(float(one.any() == other.any()))
    return 0.4 * np.nanmean(dices) + 0.6 * np.mean(near)


@pytest.mark.parametrize("empty", [0.0, 1.0, float("nan")])
def test_score_equals_plain_loops(empty):
    images, metric = study(), DiceHausdorff(empty=empty)
    for image_id, (prediction, truth) in images.items():
        metric.add(image_id, prediction, truth)
    assert float(metric.compute()) == pytest.approx(reference(images, empty))
    by_class = np.array(metric.by_class())
    assert len(by_class) == 3
    if not np.isnan(empty):
        assert by_class.mean() == pytest.approx(float(metric.compute()))
    assert by_class[2] == pytest.approx(0.6 + 0.4 * empty, nan_ok=True)  # nowhere: at no distance


def test_whole_volumes_are_resampled():
    images, metric = study(days=4), DiceHausdorff()
    for image_id, pair in images.items():
        metric.add(image_id, *pair)
    rows = np.stack([metric.rows[name] for name in sorted(metric.rows)])
    units = metric.units(rows)
    assert units.shape == (4, 9)
    assert metric.reduce(units) == metric.reduce(rows)
    for day in range(4):
        own = {name: pair for name, pair in images.items() if f"day{day}_" in name}
        assert metric.reduce(units[[day]]) == pytest.approx(reference(own, 0.0))
    low, high = bootstrap_interval(metric, draws=50)
    assert low < float(metric.compute()) < high


@pytest.mark.parametrize("processes", [1, 2])
def test_the_search_takes_it(processes):
    images = study(days=4, slices=3)
    cases = []
    for image_id, (prediction, truth) in images.items():
        # Above 0.6 stands what the study predicts, between 0.3 and 0.6 all that is true.
        probability = np.where(prediction["mask"], 0.7, np.where(truth["mask"], 0.5, 0.1)).astype(np.float32)
        day = image_id.split("_")[1]
        cases.append(
            SearchImage(
                image_id, lambda p=probability: {"mask": p}, lambda t=truth: t, day
            )  # slices of a day stay together
        )
    found = search([Threshold(0.6)], DiceHausdorff(empty=1.0), cases, processes=processes)
    assert found.before == pytest.approx(reference(images, 1.0))
    union = {name: ({"mask": p["mask"] | (t["mask"] > 0)}, t) for name, (p, t) in images.items()}
    assert found.in_sample == pytest.approx(max(reference(images, 1.0), reference(union, 1.0)))


def test_what_is_refused():
    pair = {"mask": np.ones((1, 4, 5), bool)}, {"mask": np.ones((1, 4, 5), np.uint8)}
    metric = DiceHausdorff()
    with pytest.raises(ValueError, match="does not match image id 'case1_day2_0003'"):
        metric.add("case1_day2_0003", *pair)
    metric.add("case1_day2_slice_0003", *pair)
    assert float(metric.compute()) == 1
    small = {"mask": np.ones((1, 4, 4), bool)}, {"mask": np.ones((1, 4, 4), np.uint8)}
    metric.add("case1_day2_slice_0004", *small)
    with pytest.raises(ValueError, match="slices of volume 'case1_day2' have sizes"):
        metric.compute()
    metric.reset()
    metric.add("case1_day2_slice_0003", *pair)
    metric.add("case1_day2_slice_03", *pair)
    with pytest.raises(ValueError, match="slice 3 of volume 'case1_day2' is repeated"):
        metric.compute()
    with pytest.raises(ValueError, match="has no group for the slice number"):
        DiceHausdorff(number=r"slice_\d+")
    with pytest.raises(ValueError, match="dice_weight is 2"):
        DiceHausdorff(dice_weight=2)

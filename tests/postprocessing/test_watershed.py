import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from evaluation.metrics import InstanceAveragePrecision
from masks.components import label
from postprocessing import Watershed
from postprocessing.watershed import flood


def discs(centres, radius=12.0, shape=(64, 96)):
    """Label image of discs, and what a perfect network says of it: bodies and touching borders."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distances = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres])
    labels = np.where(distances.min(0) <= radius, distances.argmin(0) + 1, 0).astype(np.int32)
    high = ndimage.maximum_filter(labels, 5)
    low = ndimage.minimum_filter(np.where(labels, labels, 1_000_000), 5)
    border = (high > low) & (labels > 0) & (low < 1_000_000)
    body = np.clip(1.2 - distances.min(0) / radius / 2, 0, 1) * (labels > 0)
    return labels, {"body": body[None].astype(np.float32), "border": border[None].astype(np.float32)}


def score(labels, prediction, **arguments):
    metric = InstanceAveragePrecision()
    metric.add("a", Watershed(**arguments)(prediction), {"instances": labels})
    return float(metric.compute())


def test_touching_discs_are_two_with_a_border_and_one_without():
    labels, prediction = discs([(32, 34), (32, 54)])
    found = Watershed()(prediction)["instances"]
    assert found.dtype == np.int32
    assert found.shape == (64, 96)
    assert np.count_nonzero(np.bincount(found.ravel())[1:]) == 2
    assert score(labels, prediction) > 0.9
    without = Watershed()(prediction | {"border": np.zeros_like(prediction["border"])})["instances"]
    assert np.count_nonzero(np.bincount(without.ravel())[1:]) == 1
    np.testing.assert_array_equal(Watershed(border=None)(prediction)["instances"], without)


def test_twenty_cells_are_twenty():
    centres = [(14 + 20 * row, 14 + 20 * column) for row in range(4) for column in range(5)]
    labels, prediction = discs(centres, shape=(90, 110))
    assert labels.max() == 20
    found = Watershed()(prediction)["instances"]
    assert len(np.unique(found)) == 21
    assert score(labels, prediction) > 0.9


def test_objects_fill_the_mask_and_nothing_else():
    random = np.random.default_rng(0)
    for seed in range(10):
        body = ndimage.gaussian_filter(random.random((50, 60)), 2 + seed % 3)
        body = ((body - body.min()) / (body.max() - body.min())).astype(np.float32)[None]
        border = random.random((1, 50, 60), dtype=np.float32) * 0.5
        found = Watershed()({"body": body, "border": border})["instances"]
        np.testing.assert_array_equal(found > 0, body[0] > 0.5)
        for number in np.unique(found)[1:]:
            assert ndimage.label(found == number, np.ones((3, 3)))[1] == 1


def test_tiny_seeds_and_pieces_without_a_seed():
    body = np.zeros((1, 20, 20), np.float32)
    body[0, 2:10, 2:10] = 0.9  # a seed
    body[0, 14:18, 14:18] = 0.55  # below the seed's bound
    body[0, 14:16, 2:4] = 0.9  # a seed of four pixels
    prediction = {"body": body, "border": np.zeros_like(body)}
    kept = Watershed(min_seed_size=10)(prediction)["instances"]
    assert len(np.unique(kept)) == 4
    np.testing.assert_array_equal(kept > 0, body[0] > 0.5)
    lost = Watershed(min_seed_size=10, keep_unseeded=False)(prediction)["instances"]
    assert len(np.unique(lost)) == 2
    assert (lost[2:10, 2:10] > 0).all()
    assert len(np.unique(Watershed(min_seed_size=4, keep_unseeded=False)(prediction)["instances"])) == 3


@pytest.mark.parametrize("keep", [True, False])
def test_nothing_gives_nothing(keep):
    empty = np.zeros((1, 9, 7), np.float32)
    found = Watershed(keep_unseeded=keep)({"body": empty, "border": empty})["instances"]
    assert found.dtype == np.int32
    assert not found.any()


def test_a_byte_store_changes_nothing():
    """Probabilities k / 255 come back from a store; the flooding must see every step of them."""
    random = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(random.random((60, 60)), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    body = np.round(smooth * 255).astype(np.uint8)[None]
    border = np.zeros_like(body, np.float32)
    levels = np.float32(255) * (1 - body.astype(np.float32) / np.float32(255))
    assert len(np.unique(np.rint(levels))) == len(np.unique(body))
    found = Watershed()({"body": body / np.float32(255), "border": border})["instances"]
    exact = Watershed()({"body": (body / 255).astype(np.float64), "border": border})["instances"]
    np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("line", [False, True])
def test_flooding_contested_pieces_alone_changes_nothing(line):
    """Equal to scikit-image's on the whole picture; all heights differ, so that no tie is left to chance."""
    random = np.random.default_rng(0)
    contested = alone = 0
    for _ in range(40):
        noise = ndimage.gaussian_filter(random.random((40, 50)), 2)
        mask = noise > noise.mean() + 0.3 * noise.std()
        height = random.permutation(noise.size).reshape(noise.shape).astype(np.float32)
        seeds = label(mask & (random.random(noise.shape) < 0.02))
        pieces = label(mask)
        wanted = watershed(height, seeds, mask=mask, watershed_line=line)
        np.testing.assert_array_equal(flood(height, seeds, pieces, line), wanted)
        owners = [len(np.unique(seeds[pieces == one])) - 1 for one in range(1, pieces.max() + 1)]
        contested, alone = contested + sum(n > 1 for n in owners), alone + sum(n == 1 for n in owners)
    assert contested > 40
    assert alone > 40


def touching(one, other):
    """Pixels of two objects that share an edge or a corner."""
    return (ndimage.binary_dilation(one, np.ones((3, 3))) & other).any()


def test_a_line_parts_objects():
    _, prediction = discs([(32, 34), (32, 54)])
    whole = Watershed()(prediction)["instances"]
    parted = Watershed(line=True)(prediction)["instances"]
    ids = np.unique(parted)[1:]
    assert len(ids) == 2
    assert not (ndimage.binary_dilation(parted == ids[0]) & (parted == ids[1])).any()
    assert 0 < ((whole > 0) & (parted == 0)).sum() < 40


@pytest.mark.parametrize("line", [False, True])
def test_objects_grow_where_the_body_is_likely(line):
    y, x = np.mgrid[:40, :60]
    left, right = np.hypot(y - 20, x - 20), np.hypot(y - 20, x - 40)
    nearest = np.minimum(left, right)
    body = np.select([nearest <= 6, nearest <= 8, nearest <= 9], [0.9, 0.4, 0.2], 0).astype(np.float32)[None]
    prediction = {"body": body, "border": np.zeros_like(body)}
    small = Watershed(line=line)(prediction)["instances"]
    np.testing.assert_array_equal(small > 0, nearest <= 6)
    grown = Watershed(grow=3, line=line)(prediction)["instances"]
    np.testing.assert_array_equal(grown > 0, nearest <= 8)
    np.testing.assert_array_equal(grown[small > 0], small[small > 0])
    assert len(np.unique(grown)) == 3
    by_one = Watershed(grow=1, line=line)(prediction)["instances"]
    np.testing.assert_array_equal(by_one > 0, ndimage.distance_transform_edt(small == 0) <= 1)


def test_growing_into_each_other_keeps_the_line():
    body = np.zeros((1, 20, 30), np.float32)
    body[0, 4:16, 4:26] = 0.4
    body[0, 5:15, 5:13] = body[0, 5:15, 16:25] = 0.9
    prediction = {"body": body, "border": np.zeros_like(body)}
    first, second = (Watershed(grow=4, line=line)(prediction)["instances"] for line in (False, True))
    ids = np.unique(first)[1:]
    assert len(ids) == 2
    assert touching(first == ids[0], first == ids[1])
    assert not touching(second == ids[0], second == ids[1])
    with pytest.raises(ValueError, match="grow is -1"):
        Watershed(grow=-1)

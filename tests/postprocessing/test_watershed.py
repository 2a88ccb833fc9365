import numpy as np
import pytest
from scipy import ndimage

from evaluation.metrics import InstanceAveragePrecision
from postprocessing import Watershed


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
    kept = Watershed(minimum_seed=10)(prediction)["instances"]
    assert len(np.unique(kept)) == 4
    np.testing.assert_array_equal(kept > 0, body[0] > 0.5)
    lost = Watershed(minimum_seed=10, keep_unseeded=False)(prediction)["instances"]
    assert len(np.unique(lost)) == 2
    assert (lost[2:10, 2:10] > 0).all()
    assert len(np.unique(Watershed(minimum_seed=4, keep_unseeded=False)(prediction)["instances"])) == 3


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

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction

from evaluation.metrics import InstanceAveragePrecision
from postprocessing import DistanceWatershed
from postprocessing.distance_watershed import domes
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def discs(centres, radius=10, shape=(64, 96)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([np.hypot(y - cy, x - cx) <= radius for cy, cx in centres])


def test_touching_discs_are_parted_where_they_touch():
    both = discs([(32, 34), (32, 51)])
    found = DistanceWatershed()({"mask": both.any(0)[None]})["instances"]
    assert found.dtype == np.int32
    assert len(np.unique(found)) == 3
    for one in both:
        own = found == found[one & ~both.all(0)][0]
        assert (own & one).sum() / (own | one).sum() > 0.9
    alone = DistanceWatershed()({"mask": both[:1]})["instances"]
    np.testing.assert_array_equal(alone > 0, both[0])
    assert len(np.unique(alone)) == 2


def test_twenty_cells_are_twenty():
    centres = [(14 + 17 * row, 14 + 17 * column) for row in range(4) for column in range(5)]
    mask = discs(centres, shape=(80, 96)).any(0)
    assert ndimage.label(mask)[1] == 1
    assert len(np.unique(DistanceWatershed()({"mask": mask[None]})["instances"])) == 21


def test_objects_fill_the_mask_and_hang_together():
    random = np.random.default_rng(0)
    for blur in (0.7, 1.5, 3):
        noise = ndimage.gaussian_filter(random.random((60, 50)), blur)
        mask = noise > noise.mean()
        found = DistanceWatershed(distance=3)({"mask": mask[None]})["instances"]
        np.testing.assert_array_equal(found > 0, mask)
        for number in np.unique(found)[1:]:
            assert ndimage.label(found == number, np.ones((3, 3)))[1] == 1


def test_depth_and_smoothing_join():
    y, x = np.mgrid[:40, :80]
    scalloped = (abs(y - 20) <= 8 + 1.5 * np.sin(x / 2) - ((x - 40) / 20) ** 2) & (abs(x - 40) < 30)

    def count(**arguments):
        return len(np.unique(DistanceWatershed(distance=3, **arguments)({"mask": scalloped[None]})["instances"])) - 1

    assert count() == 5
    assert count(smooth=4) == 2
    assert count(depth=9.2) < 5
    assert count(depth=50) == 1


@pytest.mark.parametrize("rise", [0.3, 1.0, 2.5])
def test_domes_are_scikit_images_h_maxima(rise):
    random, fewer = np.random.default_rng(0), 0
    for blur in (2, 4):
        noise = ndimage.gaussian_filter(random.random((80, 90)), blur)
        height = np.maximum(4 * (noise - noise.mean()) / noise.std(), 0).astype(np.float32)  # no two heights are equal
        lower = reconstruction(np.maximum(height - np.float32(rise), 0), height)
        wanted = local_maxima(lower, connectivity=2) & (lower > 0)
        found = domes(height, rise)
        np.testing.assert_array_equal(found > 0, wanted)
        count = len(np.unique(found)) - 1
        assert count == ndimage.label(wanted, np.ones((3, 3)))[1] > 0
        fewer += ndimage.label(local_maxima(height))[1] - count
    assert fewer > 5


def pair(row, column, radius, apart):
    """Two discs that touch, the second three quarters as wide."""
    return np.concatenate([discs([(row, column)], radius), discs([(row, column + apart)], 0.75 * radius)])


def scalloped(row, column):
    """One object whose outline waves."""
    y, x = np.mgrid[:64, :96]
    return (abs(y - row) <= 6 + 0.7 * np.sin(x / 2) - ((x - column) / 20) ** 2) & (abs(x - column) < 26)


def count(mask, **arguments):
    return len(np.unique(DistanceWatershed(**arguments)({"mask": mask[None]})["instances"])) - 1


def test_a_rise_parts_what_has_a_neck_whatever_its_size():
    """No distance parts small pairs and leaves the wavy object whole."""
    large, small, wavy = pair(20, 20, 10, 14).any(0), pair(12, 80, 4, 7).any(0), scalloped(50, 60)
    for mask, distance in ((large, 20), (small, 7)):
        assert count(mask, distance=distance) == 1  # the smaller peak lies in the window of the larger
        assert count(mask, distance=distance, rise=1.5) == 2
    assert count(large, rise=3) == 1  # the smaller one stands less than 2 above the neck
    assert count(large, rise=1.5, depth=8) == 1
    assert count(wavy, distance=3) > 1
    assert count(wavy, rise=1.5) == 1
    everything = large | small | wavy
    assert [count(everything, distance=distance) == 5 for distance in (1, 3, 5, 7, 10)] == [False] * 5
    assert count(everything, rise=1.5) == 5
    assert count(discs([(10, 10)], radius=2)[0], rise=5) == 1  # nothing rises so far: an object of its own
    assert count(np.zeros((9, 7), bool), rise=1) == 0


def test_search_finds_the_rise_that_was_planted():
    cases = []
    for number in range(6):
        objects = [*pair(20, 20 + number % 3, 10, 14), *pair(12 + number % 2, 80, 4, 7), scalloped(50, 60)]
        truth = np.zeros((64, 96), np.int32)
        for own, one in enumerate(objects, 1):
            truth[one] = own
        cases.append(SearchImage(f"{number}", lambda t=truth: {"mask": t[None] > 0}, lambda t=truth: {"instances": t}))
    found = search([DistanceWatershed()], InstanceAveragePrecision(), cases, processes=1)
    assert found.steps[0].rise > 0
    assert found.cross_fitted > found.before + 0.05


def test_nothing_gives_nothing():
    found = DistanceWatershed()({"mask": np.zeros((1, 9, 7), bool)})["instances"]
    assert found.dtype == np.int32
    assert not found.any()


@pytest.mark.parametrize("arguments", [{"distance": 0}, {"depth": -1}, {"smooth": -1}, {"rise": -1}])
def test_refused_values(arguments):
    with pytest.raises(ValueError, match="DistanceWatershed: distance"):
        DistanceWatershed(**arguments)

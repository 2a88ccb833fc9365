import numpy as np
import pytest
from scipy import ndimage

from postprocessing import DistanceWatershed


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


def test_nothing_gives_nothing():
    found = DistanceWatershed()({"mask": np.zeros((1, 9, 7), bool)})["instances"]
    assert found.dtype == np.int32
    assert not found.any()


@pytest.mark.parametrize("arguments", [{"distance": 0}, {"depth": -1}, {"smooth": -1}])
def test_refused_values(arguments):
    with pytest.raises(ValueError, match="DistanceWatershed: distance"):
        DistanceWatershed(**arguments)

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import convex_hull_image

from postprocessing import ConvexHull
from postprocessing.hull import hull_of


def blobs(random, shape=(40, 50)):
    noise = ndimage.gaussian_filter(random.random(shape), 1.5)
    return noise > noise.mean() + noise.std()


def cross_products(points):
    """Pixels that are on one side of no line through two of the points with all points on the other, by brute force."""
    points = points - points.min(0)
    columns, rows = np.meshgrid(*(np.arange(size + 1) for size in points.max(0)))
    inside = np.ones(columns.shape, bool)
    for x, y in points:
        for to_x, to_y in points:
            side = (to_x - x) * (points[:, 1] - y) - (to_y - y) * (points[:, 0] - x)
            if (side >= 0).all() and (x, y) != (to_x, to_y):
                inside &= (to_x - x) * (rows - y) - (to_y - y) * (columns - x) >= 0
    return inside if len(np.unique(points, axis=0)) > 1 else np.ones((1, 1), bool)


def test_exact_to_the_pixel():
    random = np.random.default_rng(0)
    for _ in range(100):
        points = random.integers(0, random.integers(1, 14, 2) + 1, (random.integers(1, 9), 2)).astype(np.int32)
        np.testing.assert_array_equal(hull_of(points), cross_products(points))


def test_each_component_equals_scikit_image():
    random, drawn = np.random.default_rng(1), 0
    for _ in range(10):
        mask = blobs(random)
        wanted = mask.copy()
        for region in regionprops(ndimage.label(mask, np.ones((3, 3)))[0]):
            if min(region.image.shape) > 2:
                wanted[region.slice] |= convex_hull_image(region.image, offset_coordinates=False)
                drawn += 1
            else:
                wanted[region.slice] |= hull_of(np.argwhere(region.image)[:, ::-1].astype(np.int32))
        np.testing.assert_array_equal(ConvexHull()({"mask": mask[None]})["mask"][0], wanted)
    assert drawn > 50


def test_a_bent_object_stays_with_a_solidity():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:10, 2] = mask[0, 9, 2:10] = True  # an angle
    mask[0, 12:18, 12:18] = True
    mask[0, 14, 12] = False  # a dent
    result = ConvexHull(solidity=0.9)({"mask": mask})["mask"]
    assert (result ^ mask).sum() == 1
    assert result[0, 14, 12]
    assert (ConvexHull()({"mask": mask})["mask"] ^ mask).sum() > 20


def test_instances_keep_their_own_pixels():
    labels = np.zeros((12, 12), np.int32)
    labels[1, 1:11] = labels[1:11, 1] = 5
    labels[3:5, 3:5] = 2
    result = ConvexHull("instances")({"instances": labels})["instances"]
    assert result.dtype == np.int32
    assert (result[labels == 2] == 2).all()
    assert result[6, 3] == 5
    assert result[10, 10] == 0


@pytest.mark.parametrize("empty", [np.zeros((1, 4, 5), bool), np.zeros((4, 5), np.int32)])
def test_nothing_stays_nothing(empty):
    result = ConvexHull()({"mask": empty})["mask"]
    assert result.dtype == empty.dtype
    assert not result.any()


def test_a_solidity_is_a_share():
    with pytest.raises(ValueError, match="solidity is 2"):
        ConvexHull(solidity=2)

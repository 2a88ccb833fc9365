import numpy as np
import pytest
from scipy import ndimage

from postprocessing import LargestComponents


@pytest.mark.parametrize("count", [1, 2, 5])
def test_components_one_by_one(count):
    random = np.random.default_rng(0)
    for _ in range(30):
        mask = random.random((2, 15, 12)) < 0.45
        result = LargestComponents(count)({"mask": mask})["mask"]
        assert result.dtype == bool
        assert not (result & ~mask).any()
        for plane, kept in zip(mask, result, strict=True):
            labels, number = ndimage.label(plane)
            areas = np.bincount(labels.ravel())[1:]
            stay = [one for one in range(1, number + 1) if kept[labels == one].all()]
            assert kept.sum() == sum(areas[one - 1] for one in stay)
            assert sorted(areas[one - 1] for one in stay) == sorted(areas)[::-1][: len(stay)][::-1]
            assert len(stay) == min(count, number)


def test_instances_keep_their_ids_and_the_first_of_equal_ones_stays():
    labels = np.array([[7, 7, 0, 3, 3], [0, 0, 0, 0, 9]], np.int32)
    kept = LargestComponents(1, "instances")({"instances": labels})["instances"]
    assert kept.dtype == np.int32
    assert kept.tolist() == [[0, 0, 0, 3, 3], [0] * 5]
    assert LargestComponents(2, "instances")({"instances": labels})["instances"].max() == 7


def test_nothing_stays_nothing():
    assert not LargestComponents(3)({"mask": np.zeros((1, 4, 4), bool)})["mask"].any()


def test_refusals():
    with pytest.raises(ValueError, match="count is 0"):
        LargestComponents(0)
    with pytest.raises(ValueError, match="Threshold before"):
        LargestComponents()({"mask": np.zeros((1, 2, 2), np.float32)})

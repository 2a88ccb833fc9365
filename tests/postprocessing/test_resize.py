import numpy as np
import pytest
from PIL import Image

from postprocessing import Resize


@pytest.mark.parametrize("size", [(351, 523), (7, 5), (40, 31), (64, 90)])
def test_masks_and_ids_take_the_nearest_pixel(size):
    random = np.random.default_rng(0)
    ids = random.integers(0, 60_000, (40, 31)).astype(np.int32)
    expected = np.asarray(Image.fromarray(ids).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(Resize(list(size), "instances")({"instances": ids})["instances"], expected)
    mask = np.stack([ids % 2 == 0, ids % 3 == 0])
    resized = Resize(list(size))({"mask": mask})["mask"]
    assert resized.dtype == bool
    np.testing.assert_array_equal(resized, np.stack([expected % 2 == 0, expected % 3 == 0]))


def test_shrinking_probabilities_keeps_their_mean():
    maps = np.random.default_rng(0).random((2, 40, 60), np.float32)
    resized = Resize([10, 20])({"mask": maps})["mask"]
    np.testing.assert_allclose(resized, maps.reshape(2, 10, 4, 20, 3).mean((2, 4)), atol=1e-6)
    grown = Resize([80, 120], result="large")({"mask": maps})
    assert grown["large"].shape == (2, 80, 120)
    assert grown["mask"] is maps
    assert 0 <= grown["large"].min() < grown["large"].max() <= 1


def test_wrong_sizes_and_shapes_are_told():
    for size in ([350], [0, 5], [1, 2, 3]):
        with pytest.raises(ValueError, match="expected \\[height, width\\]"):
            Resize(size)
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        Resize([2, 2], "label")({"label": np.ones(3)})

import numpy as np
import pytest
from scipy.stats import rankdata

from ensembling.ranks import Ranks


def filled(arrays):
    ranks = Ranks()
    for array in arrays:
        ranks.add(array)
    ranks.finish()
    return ranks


def test_labels_are_ranked_class_by_class_over_the_images():
    random = np.random.default_rng(0)
    images = np.round(random.random((50, 3)), 1).astype(np.float32)  # with ties
    ranks = filled(images)
    expected = (rankdata(images, axis=0) - 0.5) / len(images)
    np.testing.assert_allclose([ranks.rank(image) for image in images], expected, rtol=1e-6)
    # whatever increases does not change ranks
    other = filled(images**3)
    np.testing.assert_allclose([other.rank(image) for image in images**3], expected, rtol=1e-6)


def test_pixels_are_ranked_among_those_of_all_images():
    random = np.random.default_rng(1)
    images = (random.integers(0, 256, (4, 2, 12, 9)) / np.float32(255)).astype(np.float32)
    images[0] *= 0.1  # a dark picture stays dark: its ranks are low
    ranks = filled(images)
    pooled = images.transpose(1, 0, 2, 3).reshape(2, -1)
    expected = (rankdata(np.rint(pooled * 4080), axis=1) - 0.5) / pooled.shape[1]
    found = np.stack([ranks.rank(image) for image in images]).transpose(1, 0, 2, 3).reshape(2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert ranks.rank(images[0]).mean() < 0.25 < ranks.rank(images[1]).mean()


def test_maps_that_are_no_probabilities():
    with pytest.raises(ValueError, match="0..1"):
        Ranks().add(np.full((1, 2, 2), 1.5, np.float32))

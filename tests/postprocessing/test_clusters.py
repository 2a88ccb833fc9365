import numpy as np
import pytest
from scipy import ndimage

from postprocessing import Clusters


def volume(*blobs, shape=(12, 14, 16)):
    """Probabilities 0.1 with boxes (start, stop, probability)."""
    array = np.full(shape, 0.1, np.float32)
    for start, stop, probability in blobs:
        array[tuple(slice(one, other) for one, other in zip(start, stop, strict=True))] = probability
    return array


# two cubes of 27 voxels that share a corner, (4, 4, 4) beside (5, 5, 5)
TOUCHING = volume(((2, 2, 2), (5, 5, 5), 0.9), ((5, 5, 5), (8, 8, 8), 0.8))


@pytest.mark.parametrize(("connectivity", "number"), [(6, 2), (18, 2), (26, 1)])
def test_corners_join_at_26_neighbours(connectivity, number):
    found = Clusters(connectivity=connectivity)({"mask": TOUCHING[None]})["candidates"]
    assert len(found) == number
    assert found[:, 12].sum() == 54


def test_edges_join_at_18_neighbours():
    edge = volume(((2, 2, 2), (5, 5, 5), 0.9), ((5, 5, 2), (8, 8, 5), 0.8))
    numbers = [len(Clusters(connectivity=c)({"mask": edge})["candidates"]) for c in (6, 18, 26)]
    assert numbers == [2, 1, 1]


def test_centroid_and_peak_in_millimetres_are_exact():
    array = volume(((2, 3, 4), (5, 5, 9), 0.7))
    array[4, 3, 8] = 0.95
    row = Clusters(spacing=[2.5, 0.5, 0.75])({"mask": array})["candidates"][0]
    np.testing.assert_array_equal(row[:3], [3, 3.5, 6])
    np.testing.assert_array_equal(row[3:6], [4, 3, 8])
    np.testing.assert_array_equal(row[6:9], [7.5, 1.75, 4.5])
    np.testing.assert_array_equal(row[9:12], [10, 1.5, 6])
    assert row[12] == 30
    assert row[13] == np.float32(0.95)
    # the prediction's own spacing serves where none is set
    own = Clusters()({"mask": array, "spacing": np.array([2.5, 0.5, 0.75])})["candidates"][0]
    np.testing.assert_array_equal(own, row)


@pytest.mark.parametrize("connectivity", [4, 8, 6, 18, 26])
def test_equals_scipy_on_noise(connectivity):
    random = np.random.default_rng(connectivity)
    shape = (40, 50) if connectivity in (4, 8) else (9, 20, 21)
    array = ndimage.gaussian_filter(random.random(shape), 1).astype(np.float32)
    array = (array - array.min()) / (array.max() - array.min())
    spacing = list(random.random(len(shape)) + 0.2)
    found = Clusters(0.62, 5, connectivity, spacing)({"mask": array})["candidates"]
    reach = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[connectivity]
    labels, number = ndimage.label(array > 0.62, ndimage.generate_binary_structure(array.ndim, reach))
    expected = []
    for component in range(1, number + 1):
        inside = labels == component
        if inside.sum() < 5:
            continue
        places = np.argwhere(inside)
        peak = places[array[inside].argmax()]
        centroid = places.mean(0)
        expected.append([*centroid, *peak, *centroid * spacing, *peak * spacing, inside.sum(), array[tuple(peak)]])
    assert len(expected) > 3
    expected = np.array(expected)[np.argsort([-row[-2] for row in expected], kind="stable")]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_small_components_fall_away_and_nothing_is_nothing():
    array = volume(((1, 1, 1), (2, 2, 4), 0.9), ((6, 6, 6), (9, 9, 9), 0.6))
    assert len(Clusters(min_size=3)({"mask": array})["candidates"]) == 2
    assert len(Clusters(min_size=4)({"mask": array})["candidates"]) == 1
    assert Clusters(0.95)({"mask": array})["candidates"].shape == (0, 14)
    assert Clusters(connectivity=8)({"mask": np.zeros((1, 5, 5), np.float32)})["candidates"].shape == (0, 10)


def test_every_candidate_of_the_search_works():
    step = Clusters()
    for name, values in step.search_space().items():
        for value in values:
            assert len(step.replaced(**{name: value})({"mask": TOUCHING})["candidates"]) in (0, 1)


@pytest.mark.parametrize(
    ("settings", "array", "message"),
    [
        ({"spacing": [1.0, 1.0]}, TOUCHING, "expected one number above 0 per axis"),
        ({"connectivity": 7}, TOUCHING, "expected 6, 18 or 26"),
        ({"min_size": -1}, TOUCHING, "min_size is -1"),
        ({}, TOUCHING > 0.5, "got bool"),
        ({}, np.stack([TOUCHING] * 2), "3-D probabilities"),
        ({"connectivity": 8}, TOUCHING, "2-D probabilities"),
    ],
)
def test_wrong_kinds_are_told(settings, array, message):
    with pytest.raises(ValueError, match=message):
        Clusters(**settings)({"mask": array})

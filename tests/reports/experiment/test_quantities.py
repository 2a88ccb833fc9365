import numpy as np
import pytest

from reports.experiment.quantities import outlier_score, quantities, summary


def test_masks_and_instances_are_counted():
    ids = np.zeros((10, 10), np.int32)
    ids[:2, :2], ids[:2, 2:4], ids[5:, 5:] = 1, 2, 9
    assert quantities(ids).tolist() == [0.33, 3]
    masks = np.stack([ids > 0, ids == 9])  # two objects that touch are one component
    assert quantities(masks).tolist() == [0.33, 3]
    assert quantities(np.zeros((1, 4, 4), bool)).tolist() == [0, 0]
    assert np.isnan(quantities(np.ones((1, 2, 4, 4), bool))[1])


def test_class_numbers_and_probabilities_of_classes_are_the_same_map():
    numbers = np.zeros((6, 10), np.int64)
    numbers[:2, :5], numbers[2:4, :5], numbers[5, 9] = 1, 2, 2
    numbers[0, 9] = 255  # ignored pixels are nothing
    assert quantities(numbers, 3).tolist() == [21 / 60, 3]
    numbers[0, 9] = 0
    assert quantities(np.eye(3, dtype=np.float32)[numbers].transpose(2, 0, 1), 3).tolist() == [21 / 60, 3]
    assert quantities(numbers > 0, 3).tolist() == quantities(numbers > 0).tolist()  # decided already


def test_what_does_not_count_is_no_part_of_the_image():
    random = np.random.default_rng(0)
    valid = random.random((10, 10)) < 0.6
    ids = random.integers(0, 3, (10, 10)).astype(np.int32)
    for array, classes in ((ids, None), (np.stack([ids > 0, ids == 2]), None), (ids.astype(np.int64), 3)):
        other = np.where(valid, array, 1 - (array > 0)).astype(array.dtype)
        assert quantities(array, classes, valid).tolist() == quantities(other, classes, valid).tolist()
        assert quantities(array, classes, valid)[0] == np.count_nonzero(ids[valid]) / np.count_nonzero(valid)
    half = np.zeros((10, 10), bool)
    half[:5] = True
    assert quantities(np.ones((1, 10, 10), bool), None, half).tolist() == [1, 1]


def test_summary_leaves_empty_images_out_of_the_quantiles():
    found = summary(np.array([[0, 0], [0.2, 3], [0.4, 5], [0.3, 4]]))
    assert found["share empty"] == 0.25
    assert found["share of the image: median"] == pytest.approx(0.3)
    assert found["objects: median"] == 4


def test_an_image_ten_times_as_full_is_strange_and_an_empty_one_is_not():
    random = np.random.default_rng(0)
    reference = np.stack([np.exp(random.normal(-4, 0.3, 200)), random.integers(5, 15, 200)], 1)
    values = np.array([[np.exp(-4), 9], [10 * np.exp(-4), 9], [np.exp(-4), 300], [0, 0]])
    strange = outlier_score(values, reference)
    assert strange[0] < 1
    assert min(strange[1], strange[2]) > 4
    assert strange[3] == 0
    assert not outlier_score(values, reference[:2]).any()

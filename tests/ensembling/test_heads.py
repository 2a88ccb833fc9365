import numpy as np
import pytest

from ensembling.heads import OutputMapping

THREE = {"label": np.float32([0.2, 0.5, 0.3]), "mask": np.float32([[[0.1]], [[0.7]], [[0.2]]]), "other": np.zeros(1)}


def test_a_channel_a_sum_and_an_output_as_it_is():
    found = OutputMapping({"opacity": "label[1]", "ill": "label[1, 2]", "mask": "mask[0,2]", "label": " label "})(THREE)
    assert sorted(found) == ["ill", "label", "mask", "opacity"]
    np.testing.assert_array_equal(found["opacity"], np.float32([0.5]))
    np.testing.assert_allclose(found["ill"], [0.8])
    assert found["mask"].shape == (1, 1, 1)
    np.testing.assert_allclose(found["mask"], 0.3)
    assert found["label"] is THREE["label"]
    assert OutputMapping({"a": "label[0]", "b": "label[1]", "c": "mask"}).sources == ["label", "mask"]


def test_all_classes_of_a_softmax_are_one_and_rounding_passes_it_by_little():
    bytes_ = {"mask": np.full((3, 2, 2), np.rint(255 / 3 + 0.4) / 255, np.float32)}  # three times 0.3333, rounded up
    total = OutputMapping({"any": "mask[0, 1, 2]"})(bytes_)["any"]
    np.testing.assert_array_equal(total, np.ones((1, 2, 2)))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "no outputs are given"),
        ({"label": "label[a]"}, "not an output with channels"),
        ({"label": "label[-1]"}, "not an output with channels"),
        ({"label": "label[]"}, "not an output with channels"),
        ({"label": "label[1, 1]"}, "a repeated channel"),
    ],
)
def test_texts_that_cannot_be_read(outputs, message):
    with pytest.raises(ValueError, match=message):
        OutputMapping(outputs)


def test_channels_that_are_not_there_or_not_exclusive():
    with pytest.raises(ValueError, match=r"output 'label' is \(3,\), it has no channel 3"):
        OutputMapping({"label": "label[3]"})(THREE)
    with pytest.raises(ValueError, match=r"channels \[0, 1\] of output 'label' sum to 1.50"):
        OutputMapping({"label": "label[0, 1]"})({"label": np.float32([0.9, 0.6])})

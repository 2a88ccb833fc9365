"""Masks that an image-level output lets pass."""

import numpy as np
import pytest

from postprocessing import Gate, MinimumArea, MultiplyScores, Threshold


def prediction(empty, side=30):
    mask = np.zeros((1, 40, 40), np.float32)
    mask[0, :side, :side] = 0.9
    return {"mask": mask, "empty": np.array([empty], np.float32)}


@pytest.mark.parametrize(
    ("empty", "side", "stays"),
    [(0.4, 30, True), (0.40001, 30, False), (0.0, 28, False), (0.1, 29, True), (0.9, 5, False)],
)
def test_the_fourth_places_rule(empty, side, stays):
    """Empty where p > 0.4 or area < 800: 28² = 784, 29² = 841."""
    given = prediction(empty, side)
    result = given
    for step in (Threshold(0.5), Gate("empty", 0.4), MinimumArea(800, total=True)):
        result = step(result)
    assert result["mask"].any() == stays
    assert result["mask"].sum() == (side**2 if stays else 0)
    assert given["mask"].max() == np.float32(0.9)


def test_the_eighth_places_product():
    """Pixel scores of one network times the image score of another; a score of 0 leaves nothing."""
    pixels = np.random.default_rng(0).random((1, 6, 6)).astype(np.float32)
    for score in (0.0, 0.3, 1.0):
        given = {"mask": pixels, "score": np.array([score], np.float32)}
        weighed = Gate("score", says="present", how="weigh")(given)["mask"]
        np.testing.assert_allclose(weighed, pixels * score, rtol=1e-6)
        empty = Gate("score", says="empty", how="weigh")(given)["mask"]
        np.testing.assert_allclose(empty, pixels * (1 - np.float32(score)), rtol=1e-6)
        masked = Threshold(0.01)({"mask": weighed})["mask"]
        assert masked.any() == (score > 0)


def test_says_present_and_one_per_channel():
    mask = np.ones((3, 4, 4), bool)
    given = {"mask": mask, "label": np.array([0.2, 0.5, 0.9], np.float32)}
    result = Gate("label", 0.5, says="present")(given)["mask"]
    assert result.dtype == bool
    assert result.any((1, 2)).tolist() == [False, True, True]
    instances = {"mask": np.arange(16, dtype=np.int32).reshape(4, 4), "label": np.array([0.1], np.float32)}
    cleared = Gate("label", 0.5, says="present")(instances)["mask"]
    assert cleared.dtype == np.int32
    assert not cleared.any()


def test_what_search_tries():
    assert len(Gate("empty").search_space()["value"]) == 19
    assert not Gate("empty", how="weigh").search_space()
    assert Gate("empty").replaced(value=0.3).value == 0.3


def test_bad_input():
    with pytest.raises(ValueError, match=r"Gate expects probabilities \(1,\) or \(1,\) in 'empty', got float32 \(2,\)"):
        Gate("empty")(prediction(0.5) | {"empty": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="put Gate before Threshold"):
        Gate("empty", how="weigh")(Threshold(0.5)(prediction(0.5)))
    with pytest.raises(ValueError, match="Gate requires 'empty'"):
        Gate("empty")({"mask": np.zeros((1, 2, 2), bool)})
    with pytest.raises(ValueError, match="expected empty or present"):
        Gate("empty", says="maybe")


@pytest.mark.parametrize("says", ["present", "empty"])
@pytest.mark.parametrize("score", [0.0, 0.5, 1.0, 1 + 2e-7])
def test_a_product_of_probabilities_is_one(score, says):
    given = {"mask": np.array([[[0.0, 0.3, 1.0]]], np.float32), "score": np.array([score], np.float32)}
    weighed = Gate("score", says=says, how="weigh")(given)["mask"]
    assert weighed.min() >= 0
    assert weighed.max() <= 1


@pytest.mark.parametrize("score", [-0.2, 1.2, np.nan])
def test_what_is_no_probability_is_not_multiplied_by(score):
    given = {"mask": np.ones((1, 2, 2), np.float32), "score": np.array([score], np.float32)}
    with pytest.raises(ValueError, match="Gate multiplies by 'score', which is not a probability"):
        Gate("score", how="weigh")(given)
    given["boxes"] = np.array([[0, 0, 8, 8, 0.5, 0]], np.float32)
    for says in (given["score"], np.append(given["score"], 0.5)):
        with pytest.raises(ValueError, match="MultiplyScores multiplies by 'score', which is not a probability"):
            MultiplyScores("score")(given | {"score": says})

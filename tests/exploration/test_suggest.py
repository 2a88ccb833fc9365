"""Which images to annotate next."""

from itertools import combinations

import numpy as np
import pytest

from exploration.suggest import (
    centred,
    coverage,
    describe,
    greedy_cover,
    read_descriptors,
    similarity,
    suggest,
    uncertainty,
)


def test_uncertainty_is_the_mean_variance_of_the_pixels():
    random = np.random.default_rng(0)
    maps = random.random((5, 2, 17, 13)).astype(np.float32)
    predictions = [{"mask": one, "empty": np.float32([k])} for k, one in enumerate(maps)]
    assert uncertainty(predictions) == pytest.approx(maps.var(axis=0).mean(), rel=1e-5)
    assert uncertainty(predictions, "empty") == pytest.approx(np.var(range(5)))
    assert uncertainty([{"empty": np.float32([k])} for k in (0, 1)]) == pytest.approx(0.25)
    assert uncertainty([predictions[0]] * 3) == 0
    known = random.random((17, 13)) < 0.5
    assert uncertainty(predictions, known=known) == pytest.approx(maps.var(axis=0)[:, known].mean(), rel=1e-5)
    assert uncertainty(predictions, "empty", known) == pytest.approx(np.var(range(5)))
    assert uncertainty(predictions, known=np.zeros((17, 13), bool)) == 0


def test_models_that_cannot_be_compared():
    one = {"mask": np.zeros((1, 4, 4), np.float32)}
    with pytest.raises(ValueError, match="expected two or more"):
        uncertainty([one])
    with pytest.raises(ValueError, match="shapes"):
        uncertainty([one, {"mask": np.zeros((1, 4, 5), np.float32)}])
    with pytest.raises(ValueError, match="'mask' has the shapes"):
        uncertainty([one, {}])
    with pytest.raises(ValueError, match="body"):
        uncertainty([one, one], "body")


def test_of_a_cluster_of_near_duplicates_one_is_picked():
    random = np.random.default_rng(1)
    descriptors = random.standard_normal((200, 32))
    descriptors[10:15] = descriptors[10] + random.normal(0, 0.02, (5, 32))
    uncertainties = random.uniform(0, 0.5, 200)
    uncertainties[10:15] = random.uniform(0.9, 1.0, 5)  # more uncertain than all others
    picked, gains = suggest(uncertainties, descriptors, n_uncertain=16, n_pick=8)
    assert len(set(picked) & set(range(10, 15))) == 1
    assert len(set(picked)) == 8
    assert set(picked) <= set(np.argsort(-uncertainties)[:16].tolist())
    assert gains == sorted(gains, reverse=True)


def best_of_all(similarities: np.ndarray, count: int) -> float:
    return max(coverage(similarities, picked) for picked in combinations(range(len(similarities)), count))


def test_greedy_equals_brute_force_where_clusters_are_apart():
    descriptors = np.repeat(np.eye(10), [9, 8, 7, 6, 5, 4, 3, 2, 1, 1], axis=0)
    first = np.cumsum([0, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    similarities = similarity(descriptors[first], descriptors)
    for count in range(1, 11):
        picked, gains = greedy_cover(similarities, count)
        assert coverage(similarities, picked) == pytest.approx(best_of_all(similarities, count))
        assert sum(gains) == pytest.approx(coverage(similarities, picked))


@pytest.mark.parametrize("seed", range(8))
def test_greedy_keeps_its_guarantee(seed):
    descriptors = np.random.default_rng(seed).standard_normal((60, 4))
    similarities = similarity(descriptors[:10], descriptors)
    for count in (1, 3, 5):
        reached, best = coverage(similarities, greedy_cover(similarities, count)[0]), best_of_all(similarities, count)
        assert (1 - 1 / np.e) * best <= reached <= best + 1e-9
    assert coverage(similarities, greedy_cover(similarities, 1)[0]) == pytest.approx(best_of_all(similarities, 1))


def test_greedy_is_not_always_best_and_still_within_its_bound():
    # Row 0 takes the middle of both others: the best pair is (1, 2), greedy begins with 0.
    similarities = np.array([[0, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], float)
    picked, _ = greedy_cover(similarities, 2)
    assert picked[0] == 0
    assert coverage(similarities, picked) == 5 < best_of_all(similarities, 2) == 6


def test_similarity_is_a_clipped_cosine():
    vectors = np.array([[2, 0], [0, 3], [-1, 0], [1, 1], [0, 0]], np.float32)
    expected = np.array([[1, 0, 0, np.sqrt(0.5), 0], [0, 1, 0, np.sqrt(0.5), 0]])
    assert similarity(vectors[:2], vectors) == pytest.approx(expected)


def test_thumbnails_tell_kinds_of_images_apart():
    random = np.random.default_rng(0)
    dark = [random.integers(0, 40, (50, 60, 3), np.uint8) for _ in range(5)]
    bright = [random.integers(180, 255, (90, 40, 3), np.uint8) for _ in range(5)]
    descriptors = centred(np.stack([describe(image) for image in [*dark, *bright]]))
    alike = similarity(descriptors, descriptors)
    assert alike[:5, :5].min() > 0.9
    assert alike[:5, 5:].max() < 0.1


def test_descriptors_of_a_file(tmp_path):
    np.savez(tmp_path / "d.npz", image_id=np.array(["b", "a"]), descriptor=np.array([[1.0, 2], [3, 4]]))
    assert read_descriptors(tmp_path / "d.npz", ["a", "b"]).tolist() == [[3, 4], [1, 2]]
    with pytest.raises(ValueError, match="no descriptor of 1 images; the first is 'c'"):
        read_descriptors(tmp_path / "d.npz", ["a", "c"])
    np.savez(tmp_path / "e.npz", image_id=np.array(["a"]))
    with pytest.raises(ValueError, match=r"contains arrays \['image_id'\], expected image_id and descriptor"):
        read_descriptors(tmp_path / "e.npz", ["a"])


def test_numbers_that_make_no_sense():
    with pytest.raises(ValueError, match="n_pick"):
        suggest(np.ones(3), np.ones((3, 2)), n_uncertain=2, n_pick=3)

"""The interval of a difference between two models on the same images."""

import numpy as np
import pytest

from evaluation.interval import paired_interval


def test_it_covers_the_true_difference_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        low, high = paired_interval(random.normal(0.3, 1.0, 60), level=0.8, draws=300, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.72 < covered / 200 < 0.88


def test_it_is_the_normal_interval_for_many_images():
    differences = np.random.default_rng(1).exponential(1.0, 5000) - 0.5
    low, high = paired_interval(differences)
    half = 1.96 * differences.std() / np.sqrt(5000)
    assert (low, high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.1 * half)
    assert (low, high) == paired_interval(differences), "the same images, the same interval"
    assert paired_interval(np.full(9, 0.25)) == (0.25, 0.25)

"""Confidence intervals of scores."""

import numpy as np

from evaluation.metrics.base import CompetitionMetric


def bootstrap_interval(
    metric: CompetitionMetric, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a score over images, or over the `units` that the metric scores as one.

    Args:
        metric: metric with at least one image added.
        level: confidence level: share of the draws inside the interval (default: 0.95).
        draws: number of resamples; 1000 fix a 95 % interval to about three digits.
        seed: seed of the resampling.

    Returns:
        Lower and upper end of the interval.
    """
    rows = metric.units(np.stack([metric.rows[image_id] for image_id in sorted(metric.rows)]))
    random = np.random.default_rng(seed)
    scores = [metric.reduce(rows[random.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    if np.isnan(scores).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_interval(
    differences: np.ndarray, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean difference of two models on the same images.

    Hard images are hard for both models, so this interval is far narrower than those of the two scores. An interval
    without 0 means that they differ.

    Args:
        differences: `(N,)`, score of one model minus that of the other on each image.
        level: confidence level: share of the draws inside the interval (default: 0.95).
        draws: number of resamples; 1000 fix a 95 % interval to about three digits.
        seed: seed of the resampling.

    Returns:
        Lower and upper end of the interval.
    """
    random = np.random.default_rng(seed)
    # One draw at a time: all at once would take draws × N numbers.
    means = [differences[random.integers(len(differences), size=len(differences))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

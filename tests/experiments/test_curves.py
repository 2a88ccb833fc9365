"""Curves are drawn from what was logged."""

import csv

import cv2
import numpy as np

from experiments.curves import draw_curves, draw_search, read_metrics, smoothed
from postprocessing.search import SearchResult


def test_reading_drawing_and_the_last_value_of_a_step(tmp_path):
    with open(tmp_path / "metrics.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("time", "stage", "epoch", "step", "name", "value"))
        for step in range(100):
            writer.writerow((0, "fit", 0, step, "train/loss", 1 / (step + 1)))
            writer.writerow((0, "fit", 0, step, "lr-AdamW/pg1", 0.1))
        writer.writerow((0, "fit", 0, 50, "val/score", 0.5))
        writer.writerow((0, "fit", 0, 50, "val/score", 0.75))
        writer.writerow((0, "validate", 0, 50, "val/score", 0.1))
    series = read_metrics(tmp_path / "metrics.csv")
    assert series["val/score"] == [(50, 0.75)]
    assert len(series["train/loss"]) == 100
    draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[0] > 300
    assert (picture != 255).any()
    assert not list(tmp_path.glob("*.tmp"))


def test_running_mean_keeps_a_constant_and_its_ends():
    np.testing.assert_allclose(smoothed(np.full(7, 3.0), 5), 3)
    np.testing.assert_allclose(smoothed(np.arange(5.0), 3), [0.5, 1, 2, 3, 3.5])


def test_only_parameters_that_change_the_score_are_plotted(tmp_path):
    output = tmp_path / "search.png"
    flat, steep = [(0.4, 0.7), (0.5, 0.7)], [(1, 0.6), (2, 0.7)]
    values = {"0.Threshold.value": (0.5, 0.5, 0.5, 0.4), "1.MinimumArea.min_area": (1, 2, 2, 2)}
    curves = dict(zip(values, (flat, steep), strict=True))

    def drawn(chosen):
        result = SearchResult([], [], 0.6, 0.65, 0.7, values, {name: curves[name] for name in chosen}, {}, 9, True)
        return draw_search(result, output)

    assert drawn(["1.MinimumArea.min_area"])
    alone = output.read_bytes()
    assert drawn(values)
    assert output.read_bytes() == alone
    assert not drawn(["0.Threshold.value"])
    assert not output.exists()

"""Curves are drawn from what was logged."""

import csv

import cv2
import numpy as np

from experiments.curves import draw_curves, read_metrics, smoothed


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

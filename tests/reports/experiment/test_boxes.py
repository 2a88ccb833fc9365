"""Precision, recall and average precision of boxes by class."""

import numpy as np
import pytest

from evaluation.metrics import BoxAveragePrecision
from reports.experiment.boxes import BoxRanking, add_boxes
from reports.page import Report


def images(count=12):
    rng = np.random.default_rng(3)
    for _ in range(count):
        corners = rng.uniform(0, 60, (rng.integers(0, 6), 2))
        true = np.column_stack([corners, corners + rng.uniform(8, 20, corners.shape)])
        labels = rng.integers(0, 3, len(true))
        moved = true + rng.normal(0, 2, true.shape)
        noise = rng.uniform(0, 60, (2, 2))
        boxes = np.concatenate([moved, np.column_stack([noise, noise + 12])])
        wrong = np.where(rng.random(len(true)) < 0.2, (labels + 1) % 3, labels)
        found = np.column_stack([boxes, rng.random(len(boxes)), np.concatenate([wrong, rng.integers(0, 3, 2)])])
        yield {"boxes": found}, {"boxes": true, "labels": labels}


def test_average_precision_is_that_of_the_metric():
    ranking, metric = BoxRanking("boxes", "boxes", 0.4), BoxAveragePrecision(3, 0.4)
    for number, (prediction, targets) in enumerate(images()):
        ranking.add(prediction, targets)
        metric.add(f"{number:02d}", prediction, targets)
    report = Report("x", "y")
    add_boxes(report, ranking, ["red", "white", "blue"])
    page = report.html()
    for name, score in zip(("red", "white", "blue"), metric.by_class(), strict=True):
        row = page[page.index(f"<td>{name}</td>") :]
        assert f">{score:.4f}<" in row[: row.index("</tr>")]
    assert "<picture>" in page
    assert "IoU above 0.4" in page


@pytest.mark.parametrize("found", [0, 2])
def test_without_boxes_or_targets(found):
    boxes = np.array([[1, 1, 5, 5, 0.5, 1], [1, 1, 5, 5, 0.4, 0]])[:found]
    ranking = BoxRanking("boxes", "boxes")
    ranking.add({"boxes": boxes}, {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)})
    report = Report("x", "y")
    add_boxes(report, ranking)
    assert "<td>class 0</td>" in report.html()
    assert "<picture>" not in report.html()

"""Confusion of classes against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from reports.experiment.classes import ConfusionMatrix, add_classes
from reports.page import Report

NAMES = ["sky", "road", "tree", "person"]


def images(count=5):
    rng = np.random.default_rng(0)
    for _ in range(count):
        probabilities = rng.random((4, 12, 9)).astype(np.float32)
        target = np.where(rng.random((12, 9)) < 0.4, probabilities.argmax(0), rng.integers(0, 4, (12, 9)))
        target[:2] = 255
        yield probabilities, target.astype(np.int64), rng.random((12, 9)) < 0.8


def test_counts_and_table_equal_scikit_learn():
    found, true, predicted = ConfusionMatrix(4), [], []
    for probabilities, target, valid in images():
        found.add(probabilities, target, valid)
        kept = valid & (target != 255)
        true += target[kept].tolist()
        predicted += probabilities.argmax(0)[kept].tolist()
    expected = confusion_matrix(true, predicted)
    np.testing.assert_array_equal(found.counts, expected)
    table = found.table(NAMES)
    assert table["class"].tolist() == NAMES
    np.testing.assert_allclose(table["recall"], recall_score(true, predicted, average=None))
    np.testing.assert_allclose(table["precision"], precision_score(true, predicted, average=None))
    np.testing.assert_allclose(table["IoU"], jaccard_score(true, predicted, average=None))
    np.testing.assert_allclose(np.diag(found.shares()), table["recall"])


def test_image_level_classes_count_images():
    found = ConfusionMatrix(3)
    for number, target in ((0, 0), (2, 1), (2, 2), (2, 1)):
        found.add(np.eye(3, dtype=np.float32)[number], np.array(target))
    assert found.counts.tolist() == [[1, 0, 0], [0, 0, 2], [0, 0, 1]]


def test_a_class_taken_for_another_is_a_finding():
    found, report = ConfusionMatrix(4), Report("x", "y")
    for _ in range(3):
        found.add(np.eye(4, dtype=np.float32)[1], np.array(3))
    found.add(np.eye(4, dtype=np.float32)[3], np.array(3))
    add_classes(report, {"label": found}, NAMES)
    assert [finding.text for finding in report.findings] == ["`label`: 75% of person is predicted as road."]
    assert "road (75.0%)" in report.html()
    empty = Report("x", "y")
    add_classes(empty, {})
    assert not empty.sections


@pytest.mark.parametrize("classes", [2, 31])
def test_many_classes_have_a_table_without_a_chart(classes):
    found, report = ConfusionMatrix(classes), Report("x", "y")
    found.add(np.eye(classes, dtype=np.float32)[1], np.array(1))
    add_classes(report, {"label": found})
    assert ("<picture>" in report.html()) == (classes == 2)
    assert not report.findings

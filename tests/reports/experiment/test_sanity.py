"""Predictions that hold nothing."""

import numpy as np
import pytest

from reports.experiment.sanity import add_sanity
from reports.page import Report


@pytest.mark.parametrize(("share", "what"), [(0, "empty"), (1, "full")])
def test_predictions_without_content_are_a_problem(tmp_path, share, what):
    target = {f"t{number}": np.array([0.2 + number / 100, 3]) for number in range(10)}
    tested = {f"p{number}": np.array([share, share]) for number in range(7)}
    report = Report("salt", "lead", tmp_path)
    add_sanity(report, {"target": target, "test": tested})
    problems = [finding.text for finding in report.findings if finding.level == "problem"]
    assert problems == [f"7 of 7 test predictions are {what}."]
    tested["p0"] = np.array([0.3, 2])
    report = Report("salt", "lead", tmp_path)
    add_sanity(report, {"target": target, "test": tested})
    assert not [finding for finding in report.findings if finding.level == "problem"]

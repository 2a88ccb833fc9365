"""Section about classes that exclude each other: which are taken for which."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evaluation.colours import name_of
from reports.charts import chart, matrix
from reports.page import Finding, Report

MOST = 30  # classes in a chart
CONFUSED = 0.2  # share of a class that is another one, from which it is a finding


class ConfusionMatrix:
    """Counts of target and predicted classes over pixels, or over images; grows image by image.

    Attributes:
        counts: `(K, K)` int64: row target class, column predicted class.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, probabilities: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count one image.

        Args:
            probabilities: `(K, *spatial)` of classes that exclude each other; the highest is the prediction.
            target: class numbers `(*spatial)`; those from K on, such as 255 for void, do not count.
            valid: `(*spatial)` bool, False for void; None: all are valid.
        """
        classes = len(self.counts)
        kept = (target >= 0) & (target < classes)
        kept = kept if valid is None else kept & valid
        places = target[kept].astype(np.int64) * classes + probabilities.argmax(axis=0)[kept]
        self.counts += np.bincount(places, minlength=classes**2).reshape(classes, classes)

    def shares(self) -> np.ndarray:
        """Share of each target class that is predicted as each class, `(K, K)`; NaN for classes without a target."""
        with np.errstate(invalid="ignore"):
            return self.counts / self.counts.sum(axis=1, keepdims=True)

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """A row per class: recall, precision, IoU, and the class that it is most often taken for."""
        right, true, found = np.diag(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            recall, precision, iou = right / true, right / found, right / (true + found - right)
        shares = np.nan_to_num(self.shares())
        np.fill_diagonal(shares, 0)
        other = shares.argmax(axis=1)
        taken = [
            f"{name_of(int(k), names)} ({shares[number, k]:.1%})" if shares[number, k] else ""
            for number, k in enumerate(other)
        ]
        return pd.DataFrame(
            {
                "class": [name_of(number, names) for number in range(len(right))],
                "share of targets": true / max(1, true.sum()),
                "recall": recall,
                "precision": precision,
                "IoU": iou,
                "most often taken for": taken,
            }
        )


def add_classes(report: Report, matrices: dict[str, ConfusionMatrix], names: Sequence[str] = ()) -> None:
    """Confusion matrix and a table of each output with classes that exclude each other; nothing without any.

    Args:
        report: the page.
        matrices: confusion matrix by output.
        names: class names.
    """
    if not matrices:
        return
    report.section("Classes")
    report.text("The most probable class before any post-processing, over all pixels (or images) without void.")
    for name, found in matrices.items():
        count = len(found.counts)
        if count <= MOST:
            labels = [name_of(number, names) for number in range(count)]
            side = float(np.clip(2.6 + 0.34 * count, 3.4, 9))
            drawing = matrix(np.nan_to_num(found.shares()), labels, "share of the target class (row)", diagonal=True)
            caption = f"{name}: share of each target class (row) that is predicted as each class (column)"
            report.charts([(f"confusion {name}", chart(drawing, side, side), caption)])
        else:
            report.text(f"{name}: a matrix of {count} classes is not drawn.", quiet=True)
        table = found.table(names)
        report.table(table, most=100)
        shares = np.nan_to_num(found.shares())
        np.fill_diagonal(shares, 0)
        one, other = divmod(int(shares.argmax()), count)
        if shares[one, other] > CONFUSED:
            text = (
                f"`{name}`: {shares[one, other]:.0%} of {name_of(one, names)} is predicted as {name_of(other, names)}."
            )
            report.findings.append(Finding("look", text, "Classes"))

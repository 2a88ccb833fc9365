"""Section about boxes: precision and recall of each class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evaluation.colours import name_of
from evaluation.metrics.box_average_precision import BoxAveragePrecision
from evaluation.metrics.detection import Ranked, average_precision
from masks.void import Arrays
from reports.charts import chart
from reports.experiment.lines import lines
from reports.page import Report


class BoxRanking:
    """Detections of all images with whether they match a target of their class; grows image by image.

    Args:
        output: name of the boxes `(n, 6)` in the prediction: x1, y1, x2, y2, score, label.
        target: name of the target boxes.
        iou: IoU above which a detection matches.
    """

    def __init__(self, output: str, target: str, iou: float = 0.5) -> None:
        self.output, self.target, self.iou = output, target, iou
        self.images: list[Ranked] = []

    def add(self, prediction: Arrays, targets: Arrays) -> None:
        """Match the boxes of one image, by falling score; see `BoxAveragePrecision` for ignored regions."""
        labels = [np.asarray(targets.get("labels", [])), np.asarray(prediction[self.output]).reshape(-1, 6)[:, 5]]
        own = np.asarray(targets[self.target])
        labels += [own[:, 5]] if own.ndim == 2 and own.shape[1] == 6 else []
        classes = 1 + max((int(part.max()) for part in labels if part.size), default=0)
        metric = BoxAveragePrecision(classes, self.iou, output=self.output, target=self.target)
        self.images.append(metric.image(prediction, targets)[0])

    def of_class(self, number: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Scores `(n,)` and matches `(n,)` bool of the detections of a class, best first, and its number of targets."""
        found = np.concatenate([image.detections for image in self.images])
        found = found[found[:, 0] == number]
        found = found[np.argsort(-found[:, 1], kind="stable")]
        targets = sum(float(image.objects[number]) for image in self.images if number < len(image.objects))
        return found[:, 1], found[:, 2].astype(bool), targets

    def classes(self) -> int:
        """Number of classes seen."""
        return max((len(image.objects) for image in self.images), default=0)


def add_boxes(report: Report, ranking: BoxRanking, names: Sequence[str] = ()) -> None:
    """Precision over recall, and average precision, of every class.

    Args:
        report: the page.
        ranking: boxes of all images after post-processing.
        names: class names.
    """
    report.section("Boxes")
    series, rows = {}, []
    for number in range(max(ranking.classes(), len(names))):
        scores, matched, targets = ranking.of_class(number)
        hits = np.cumsum(matched)
        precision = hits / np.arange(1, len(hits) + 1)
        recall = hits / targets if targets else np.zeros(len(hits))
        name = name_of(number, names)
        if targets and len(hits):
            series[name] = np.concatenate([[0], recall]), np.concatenate([precision[:1], precision])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        best = int(f1.argmax()) if len(f1) else None
        rows.append(
            {
                "class": name,
                "targets": targets,
                "boxes": len(scores),
                "AP": average_precision(scores, matched, targets),
                "recall": recall[-1] if len(recall) and targets else np.nan,
                "best F1": f1[best] if best is not None and targets else np.nan,
                "at score": scores[best] if best is not None and targets else np.nan,
            }
        )
    report.text(
        f"Boxes of all images together after post-processing, matched to targets of their class at an IoU above "
        f"{ranking.iou:g}. AP is the area under precision over recall (PASCAL VOC 2010)."
    )
    if series:
        drawing = lines(series, "recall", bounds=(0, 1))
        report.charts([("precision recall", chart(drawing, 4.8, 3.0), "precision by recall, a line per class")])
    report.table(pd.DataFrame(rows), most=100)

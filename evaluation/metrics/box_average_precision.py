"""Mean average precision of boxes: VinBigData chest X-rays."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, as_row
from evaluation.metrics.detection import (
    Ranked,
    average_precisions,
    box_overlaps,
    first_come,
    ignored_boxes,
    ignored_overlaps,
    predicted_boxes,
    true_boxes,
)


class BoxAveragePrecision(CompetitionMetric):
    """Mean over classes of PASCAL VOC's average precision (2010) of boxes at one IoU: VinBigData, SIIM-FISABIO-RSNA.

    Detections of the whole set are ranked by score, equal scores by image id. A class without true boxes is excluded
    from the mean. Detections of ignored regions (`ignored_boxes` of the target) do not count: those that overlap a
    difficult object more than any other, as in VOC's own code, and unmatched ones whose share of area inside a crowd
    reaches the threshold, as in COCO's.

    Args:
        classes: number of classes K; labels are 0 … K - 1.
        threshold: IoU above which a detection matches a true box (default: 0.4); VinBigData 0.4, SIIM-FISABIO-RSNA 0.5.
        nothing: label of images without boxes, where that is a class of its own: an image without true boxes has the
            single box 0 0 1 1 of this class, and one without predicted boxes predicts it with score 1 (VinBigData's
            class 14). None: such images have no objects.
        output: name of the boxes `(n, 6)` in the prediction: x1, y1, x2, y2, score, label.
        target: name of the true boxes in the target, `(n, 4)` with `labels` `(n,)`, or `(n, 6)` (default: `output`).
            Ignored regions are in `ignored_<target>`, `ignored_labels` and `ignored_crowd`.

    Example:
        >>> import numpy as np
        >>> from evaluation import BoxAveragePrecision
        >>> metric = BoxAveragePrecision(classes=1, threshold=0.5)
        >>> true = np.array([[0, 0, 10, 10, 1, 0], [20, 20, 30, 30, 1, 0]], np.float32)  # x1, y1, x2, y2, score, label
        >>> found = np.array([[0, 0, 10, 9, 0.8, 0], [50, 50, 60, 60, 0.9, 0]], np.float32)
        >>> row = metric.image({"boxes": found}, {"boxes": true})
        >>> metric.reduce(np.stack([row]))  # one of two found, ranked second: recall 1 / 2 at precision 1 / 2
        0.25
    """

    def __init__(
        self,
        classes: int,
        threshold: float = 0.4,
        nothing: int | None = None,
        output: str = "boxes",
        target: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f"BoxAveragePrecision: threshold is {threshold}, expected a number in [0, 1)")
        if nothing is not None and not 0 <= nothing < classes:
            raise ValueError(f"BoxAveragePrecision: nothing is {nothing}, expected a label of 0 to {classes - 1}")
        self.classes, self.threshold, self.nothing = classes, threshold, nothing
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted, true = predicted_boxes(prediction, self.output), true_boxes(targets, self.target)
        ignored = ignored_boxes(targets, self.target)
        if len(ignored):
            predicted = self._counted(predicted, true, ignored)
        if self.nothing is not None:
            predicted = predicted if len(predicted) else np.array([[0, 0, 1, 1, 1, self.nothing]], np.float64)
            true = true if len(true) else np.array([[0, 0, 1, 1, self.nothing]], np.float64)
        for labels in (predicted[:, 5], true[:, 4]):
            wrong = labels[~np.isin(labels, np.arange(self.classes))]
            if len(wrong):
                raise ValueError(f"label of a box is {wrong[0]:g}, expected 0 to {self.classes - 1}")
        found = self._found(predicted, true)
        objects = np.bincount(true[:, 4].astype(int), minlength=self.classes).astype(np.float64)
        return as_row(Ranked(np.column_stack([predicted[:, [5, 4]], found]), objects))

    def _found(self, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Which detections match an object of their class, bool `(n,)`."""
        # Rounded, so that an IoU equal to the threshold does not pass by a rounding error.
        overlap = np.round(box_overlaps(predicted, true), 9)
        found = np.zeros(len(predicted), bool)
        for label in np.unique(predicted[:, 5]):
            own, wanted = predicted[:, 5] == label, true[:, 4] == label
            part = overlap[np.ix_(own, wanted)]
            found[own] = first_come(part, predicted[own, 4], part > self.threshold)
        return found

    def _counted(self, predicted: np.ndarray, true: np.ndarray, ignored: np.ndarray) -> np.ndarray:
        """Detections without those of ignored regions."""
        crowd, difficult = ignored_overlaps(predicted, ignored)
        same = predicted[:, None, 5] == true[None, :, 4]
        best = np.where(same, np.round(box_overlaps(predicted, true), 9), 0).max(axis=1, initial=0)
        counted = ~((difficult > self.threshold) & (difficult > best))
        predicted, crowd = predicted[counted], crowd[counted]
        in_crowd = (crowd > 0) & (crowd >= self.threshold)
        return predicted[self._found(predicted, true) | ~in_crowd]

    def reduce(self, rows: np.ndarray) -> float:
        scores = self.class_scores(rows)
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        return average_precisions([row[0] for row in rows])

    def image_score(self, row: np.ndarray) -> float:
        """Score of one image; without true boxes 1 if nothing is predicted, else 0."""
        if row[0].objects.any():
            return self.reduce(row[None])
        return float(not len(row[0].detections))

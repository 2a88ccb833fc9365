"""Mean average precision of masks with several classes per mask: Human Protein Atlas single cells."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, as_row, require_array
from evaluation.metrics.detection import Ranked, average_precisions, first_come
from masks.run_length_masks import mask_overlaps, runs_of, runs_that_count


class MaskAveragePrecision(CompetitionMetric):
    """Mean over classes of the average precision of masks at one IoU (Human Protein Atlas single cells, 2021).

    Every mask is an object of each of its classes, with a score for each. The competition uses the instance
    segmentation metric of Open Images: detections of the whole set are ranked by score, each claims the true mask of
    its class that it overlaps most, and matches if the IoU reaches the threshold; a class without true masks is
    excluded from the mean. Equal scores are ranked by image id.

    Args:
        classes: number of classes K (default: the competition's 18 locations in the cell and Negative).
        threshold: lowest IoU of a match (default: the competition's 0.6).
        output: name of the instance ids `(H, W)` in prediction and target; the scores of a mask are in row id - 1.
            Masks that may overlap, as in a submission file, are read from `masks` instead.
        scores: name of the scores `(n, K)`; nan for a class that a mask does not have. In the target any number means
            that the mask has the class.
        class_map: name of a class map `(H, W)` of the target, 0 for the background and 1 … K for the classes, if it has
            no scores: a mask has the most frequent class of its pixels.

    Example:
        >>> import numpy as np
        >>> from evaluation import MaskAveragePrecision
        >>> true = np.zeros((20, 20), np.int32)
        >>> true[:10, :10], true[10:, 10:] = 1, 2
        >>> metric = MaskAveragePrecision(classes=1)
        >>> target = {"instances": true, "scores": np.ones((2, 1))}  # a row for each mask, a column for each class
        >>> row = metric.image({"instances": np.where(true == 1, 1, 0), "scores": np.array([[0.9]])}, target)
        >>> round(metric.reduce(np.stack([row])), 3)  # one of two found
        0.5
    """

    def __init__(
        self,
        classes: int = 19,
        threshold: float = 0.6,
        output: str = "instances",
        scores: str = "scores",
        class_map: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 < threshold <= 1:
            raise ValueError(f"MaskAveragePrecision: threshold is {threshold}, expected a number in (0, 1]")
        self.classes, self.threshold = classes, threshold
        self.output = self.target = output
        self.scores_name, self.class_map = scores, class_map

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        valid = targets.get("valid")
        predicted, scores = self._masks(prediction, "prediction", valid)
        if self.class_map is not None and self.scores_name not in targets:
            targets = targets | {self.scores_name: self._classes_of_masks(targets)}
        true, classes = self._masks(targets, "target", valid)
        # Rounded, so that an IoU equal to the threshold does not fail by a rounding error.
        overlap = np.round(mask_overlaps(predicted, true), 9)
        detections = []
        for number in range(self.classes):
            own, wanted = ~np.isnan(scores[:, number]), ~np.isnan(classes[:, number])
            part = overlap[np.ix_(own, wanted)]
            found = first_come(part, scores[own, number], part >= self.threshold)
            detections.append(np.column_stack([np.full(own.sum(), number), scores[own, number], found]))
        objects = (~np.isnan(classes)).sum(axis=0).astype(np.float64)
        return as_row(Ranked(np.concatenate(detections), objects))

    def _classes_of_masks(self, targets: Arrays) -> np.ndarray:
        """1 for the class of each true mask, NaN for the others, `(n, K)`."""
        ids = require_array(targets, self.target, "target")
        numbers = require_array(targets, self.class_map or "", "target")
        inside = (ids > 0) & (numbers > 0) & (numbers <= self.classes)
        shape = int(ids.max(initial=0)), self.classes
        places = (ids[inside].astype(np.int64) - 1) * self.classes + numbers[inside] - 1
        found = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)
        own = (found == found.max(axis=1, keepdims=True)) & (found > 0)
        first = own & (np.cumsum(own, axis=1) == 1)
        return np.where(first, 1.0, np.nan)

    def _masks(self, arrays: Arrays, what: str, valid: np.ndarray | None) -> tuple[list[np.ndarray], np.ndarray]:
        """Runs of each mask that has valid pixels, and its scores."""
        given = arrays["masks"] if "masks" in arrays else require_array(arrays, self.output, what)
        count = len(given) if "masks" in arrays else int(given.max(initial=0))
        scores = np.asarray(require_array(arrays, self.scores_name, what), np.float64)
        scores = scores.reshape(-1, self.classes) if not scores.size else scores
        if scores.ndim != 2 or scores.shape[1] != self.classes or len(scores) < count:
            raise ValueError(
                f"{what} {self.scores_name!r} is {scores.shape}, expected ({count}, {self.classes}): a row per "
                "mask, a column per class"
            )
        masks = list(given) if "masks" in arrays else runs_of(given)
        masks = masks if valid is None else runs_that_count(masks, valid)
        there = [number for number, runs in enumerate(masks) if runs.shape[1]]
        return [masks[number] for number in there], scores[there]

    def reduce(self, rows: np.ndarray) -> float:
        scores = self.class_scores(rows)
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        return average_precisions([row[0] for row in rows])

    def image_score(self, row: np.ndarray) -> float:
        """Score of one image; without true masks 1 if nothing is predicted, else 0."""
        if row[0].objects.any():
            return self.reduce(row[None])
        return float(not len(row[0].detections))

"""F1 score of building footprints: SpaceNet."""

import re
import zlib

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, require_array
from evaluation.object_overlaps import Overlaps, object_overlaps
from evaluation.void import nothing_counts


class SpaceNetF1(CompetitionMetric):
    """Mean over areas of the F1 of buildings; TP, FP and FN are summed over the images of an area (SpaceNet 2).

    In order of confidence, each predicted building takes the free true building that it overlaps most, if their IoU is
    above the threshold. True buildings below `min_area` are ignored. Equal to `Evaluator.eval_iou_spacenet_csv` of
    solaris.

    Args:
        areas: regular expression whose match in the image id names the area (its first group, if it has one); the
            competition's ids begin with `AOI_2_Vegas_`. None: all images are one area.
        threshold: IoU above which a building is found (default: 0.5).
        min_area: area in square pixels below which true buildings are ignored (default: the competition's 20).
        min_predicted_area: area in square pixels up to which predicted buildings are ignored; solaris uses `min_area`
            for both, so that finding an unscored building costs nothing.
        output: name of the buildings in the post-processed prediction: `instances` `(H, W)`, or an array of shapely
            polygons `(n,)` in pixels, as `polygons` from `submissions.Polygons.read`.
        target: name of the buildings in the target, in the same format (default: `output`).
        confidence: name of the confidences `(n,)` of buildings, at index i - 1 for id i (or for the i-th polygon);
            without this array buildings keep their order.

    Example:
        >>> import numpy as np
        >>> from evaluation import SpaceNetF1
        >>> true = np.zeros((20, 20), np.int32)
        >>> true[:10, :10], true[10:, 10:] = 1, 2
        >>> metric = SpaceNetF1()
        >>> row = metric.row("AOI_2_Vegas_img1", {"instances": np.where(true == 1, 1, 0)}, {"instances": true})
        >>> round(metric.reduce(row[None]), 3)  # one found, one missed
        0.667
    """

    def __init__(
        self,
        areas: str | None = r"^AOI_\d+",
        threshold: float = 0.5,
        min_area: float = 20.0,
        min_predicted_area: float = 0.0,
        output: str = "instances",
        target: str | None = None,
        confidence: str = "confidence",
    ) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f"SpaceNetF1: threshold is {threshold}, expected a number in [0, 1)")
        self.areas, self.threshold = areas, threshold
        self.min_area, self.min_predicted_area = min_area, min_predicted_area
        self.output, self.target, self.confidence = output, target or output, confidence

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        """Area number, TP, FP, FN (nan without any valid pixel); `placed` fills in the area."""
        predicted, true = (
            require_array(prediction, self.output, "prediction"),
            require_array(targets, self.target, "target"),
        )
        if nothing_counts(targets):
            return np.array([0, np.nan, np.nan, np.nan])
        overlaps = _overlaps(predicted, true, targets.get("valid"))
        confidence = prediction.get(self.confidence)
        order = np.arange(len(overlaps.predicted_areas))
        if confidence is not None:
            places = order if predicted.dtype == object else np.unique(predicted[predicted > 0]) - 1
            if len(places) and places.max() >= len(confidence):
                raise ValueError(
                    f"{self.confidence!r} has {len(confidence)} values, expected one for building {places.max() + 1}"
                )
            order = np.argsort(-np.asarray(confidence)[places], kind="stable")
        order = order[overlaps.predicted_areas[order] > self.min_predicted_area]
        counted = (overlaps.true_areas >= self.min_area) & (overlaps.true_areas > 0)
        found = _found(overlaps, order, counted, self.threshold)
        return np.array([0, found, len(order) - found, np.count_nonzero(counted) - found], np.float64)

    def area(self, image_id: str) -> int:
        """Number of the area of an image, the same in every process."""
        if self.areas is None:
            return 0
        match = re.search(self.areas, image_id)
        if match is None:
            raise ValueError(f"SpaceNetF1: areas {self.areas!r} does not match image id {image_id!r}; set areas")
        return zlib.crc32((match.group(1) if match.re.groups else match.group()).encode())

    def placed(self, row: np.ndarray, image_id: str) -> np.ndarray:
        return np.concatenate([[self.area(image_id)], row[1:]])

    def reduce(self, rows: np.ndarray) -> float:
        rows = rows[~np.isnan(rows[:, 1])]
        if not len(rows):
            return float("nan")
        counted = [rows[rows[:, 0] == area, 1:].sum(0) for area in np.unique(rows[:, 0])]
        return float(np.mean([2 * tp / max(2 * tp + fp + fn, 1) for tp, fp, fn in counted]))

    def image_score(self, row: np.ndarray) -> float:
        """F1 of the image; 1 with nothing to find and nothing found, nan without any valid pixel."""
        return self.reduce(row[None]) if row[1:].any() else 1.0


def _found(overlaps: Overlaps, order: np.ndarray, counted: np.ndarray, threshold: float) -> int:
    """Number of true buildings found; each predicted one takes the free true one that it overlaps most.

    Args:
        overlaps: overlapping pairs of buildings.
        order: indices of predicted buildings, highest confidence first.
        counted: `(T,)` true buildings to count.
        threshold: IoU above which a pair matches.
    """
    rank = np.full(len(overlaps.predicted_areas), len(order))
    rank[order] = np.arange(len(order))
    iou = np.round(overlaps.iou, 9)
    chosen = (iou > threshold) & counted[overlaps.true] & (rank[overlaps.predicted] < len(order))
    ranks, true, iou = rank[overlaps.predicted[chosen]], overlaps.true[chosen], iou[chosen]
    best = np.lexsort((true, -iou, ranks))
    served, taken = set(), set()
    for building, one in zip(ranks[best].tolist(), true[best].tolist(), strict=True):
        if building not in served and one not in taken:
            served.add(building)
            taken.add(one)
    return len(taken)


def _overlaps(predicted: np.ndarray, true: np.ndarray, valid: np.ndarray | None) -> Overlaps:
    """Overlapping pairs of buildings, and the areas in square pixels of the true and predicted ones, without void."""
    if predicted.dtype != object and true.dtype != object:
        for array in (predicted, true):
            if array.dtype.kind not in "iu" or array.ndim != 2:
                raise ValueError(
                    f"buildings are {array.dtype} {array.shape}, expected instance ids (H, W) or polygons (n,)"
                )
        return object_overlaps(predicted, true)
    if predicted.dtype != object or true.dtype != object:
        raise ValueError(
            f"predicted buildings are {predicted.dtype}, true ones {true.dtype}, expected both as instance ids or both "
            "as polygons"
        )
    return polygon_overlaps(predicted, true, valid)


def polygon_overlaps(predicted: np.ndarray, true: np.ndarray, valid: np.ndarray | None = None) -> Overlaps:
    """Overlapping pairs of shapely polygons, and the areas of both; self-intersecting polygons are repaired.

    Pixels where `valid` `(H, W)` is False are cut out of both.
    """
    try:
        import shapely
    except ImportError as error:
        raise ImportError('SpaceNetF1 of polygons requires shapely: pip install -e ".[satellite]"') from error
    true, predicted = shapely.make_valid(true), shapely.make_valid(predicted)
    if valid is not None and not valid.all():
        void = shapely.union_all([shapely.box(*corners) for corners in _stretches(~valid.astype(bool, copy=False))])
        true, predicted = shapely.difference(true, void), shapely.difference(predicted, void)
    sizes_true, sizes_predicted = shapely.area(true), shapely.area(predicted)
    ones, others = shapely.STRtree(predicted).query(true, predicate="intersects")
    inside = shapely.area(shapely.intersection(true[ones], predicted[others]))
    iou = inside / np.maximum(sizes_true[ones] + sizes_predicted[others] - inside, 1e-12)
    return Overlaps(ones, others, iou, sizes_true, sizes_predicted)


def _stretches(mask: np.ndarray) -> np.ndarray:
    """Boxes x1, y1, x2, y2 `(n, 4)` of the runs of True in the rows of a mask `(H, W)`."""
    steps = np.diff(np.pad(mask.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    (rows, begins), ends = np.nonzero(steps == 1), np.nonzero(steps == -1)[1]
    return np.column_stack([begins, rows, ends, rows + 1])

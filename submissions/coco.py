"""COCO's results file: a JSON list of boxes or masks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from files.texts import read_json
from masks import coco_rle
from masks.run_length_masks import runs_of
from submissions.base import Row, Submission, SubmissionError, require_array
from submissions.coco_masks import runs_of_segmentation
from submissions.coco_names import CocoNames
from submissions.labels import class_names

if TYPE_CHECKING:
    import pandas as pd

SLACK = 0.01  # pixels


class Coco(Submission):
    """COCO's results JSON: `[{"image_id": 139, "category_id": 1, "bbox": [x, y, w, h], "score": 0.9}, …]`.

    Masks are written as `segmentation` in COCO's compressed run lengths instead of `bbox`. An image without objects has
    no entry. A file with `images` and `annotations`, as of the training set, is read too, so that it can be the
    `solution`: boxes and masks with `iscrowd` are ignored regions.

    Args:
        classes: class names by label, as in the target; a number K means 0 … K - 1 (default: the class names of the
            data; else the categories of `file` in order of their ids, or one class without `file`).
        kind: `boxes` `(n, 6)`, or `masks` of instance ids `(H, W)`, a result per instance.
        category_ids: id of each class in the file, if it is not that of `file`.
        file: path of a COCO file that lists `images` and `categories`, such as `image_info_test2017.json`; it gives the
            ids of images, by file name, and of classes, by name. None: an image id that is a number is that number,
            others stay texts, and classes have the ids 1 … K.
        output: name of the boxes or instance ids in the post-processed prediction (default: `boxes` or `instances`).
        scores: name of the scores of instances, in row i - 1 for id i: `(n,)`, or `(n, K)`, of which the best class of
            each instance is written. All are 1 if the array is missing and there is one class.
    """

    columns = ("image_id", "result")
    several_rows = True
    sparse = True
    file_name = "submission.json"

    def __init__(
        self,
        classes: int | list[str] | None = None,
        kind: Literal["boxes", "masks"] = "boxes",
        file: str | None = None,
        output: str | None = None,
        scores: str = "scores",
        category_ids: list[int] | None = None,
    ) -> None:
        if kind not in ("boxes", "masks"):
            raise ValueError(f"Coco: kind is {kind!r}, expected boxes or masks")
        self.classes, self.kind, self.file, self.scores = classes, kind, file, scores
        self.output = output or ("boxes" if kind == "boxes" else "instances")
        self.blended = kind == "masks"
        self.category_ids = category_ids
        self._names = CocoNames(file, None if classes is None else class_names(classes), category_ids)

    def take_classes(self, names: list[str] | None) -> None:
        if names is not None:
            self.classes, self._names.classes, self._names.adopted = names, names, True

    def begin(self, output: Path, table: "pd.DataFrame") -> None:
        self._names.learn(dict(zip(table["image_id"], table["path"].astype(str), strict=True)))

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        array = require_array(prediction, self.output)
        found = self._boxes(array) if self.kind == "boxes" else self._masks(array, prediction.get(self.scores))
        number = self._names.number(image_id)
        return [(image_id, json.dumps({"image_id": number} | entry)) for entry in found]

    def _boxes(self, boxes: np.ndarray) -> list[dict[str, Any]]:
        boxes = boxes.reshape(-1, 6) if not boxes.size else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 6 or boxes.dtype.kind != "f":
            raise ValueError(
                f"{self.output!r} is {boxes.dtype} {boxes.shape}, expected boxes (n, 6): x1, y1, x2, y2, score, label"
            )
        entries = []
        for number in np.argsort(-boxes[:, 4], kind="stable"):
            x1, y1, x2, y2, score, label = boxes[number].astype(np.float64).tolist()
            _check_box([x1, y1, x2 - x1, y2 - y1], score, f"box {number}")
            entries.append({"category_id": self._category(label), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
        return entries

    def _masks(self, labels: np.ndarray, scores: np.ndarray | None) -> list[dict[str, Any]]:
        masks = runs_of(labels)
        if scores is None:
            scores = np.ones(len(masks))
        scores = scores[:, None] if scores.ndim == 1 else scores
        count = len(self._names.category_ids()) if scores.shape[1:] != (1,) else 1
        if scores.ndim != 2 or scores.shape[1] != count or len(scores) < len(masks):
            raise ValueError(
                f"{self.scores!r} is {scores.shape}, expected ({len(masks)}, {count}): a row per instance, a column "
                "per class"
            )
        if count == 1 and len(self._names.category_ids()) > 1:
            raise ValueError(
                f"the masks have one score each, but there are {len(self._names.category_ids())} classes: add a step "
                f"that gives {self.scores!r} (n, {len(self._names.category_ids())}), such as "
                "postprocessing.InstanceClasses"
            )
        entries = []
        for number, (runs, own) in enumerate(zip(masks, scores, strict=False)):
            if not runs.shape[1]:
                continue
            label = int(np.argmax(np.where(np.isnan(own), -np.inf, own)))
            score = float(str(np.float32(own[label])))
            if not 0 <= score <= 1:
                raise ValueError(f"score of instance {number + 1} is {score}, expected 0..1")
            text = coco_rle.encode(runs, labels.size).decode()
            segmentation = {"size": list(labels.shape), "counts": text}
            entries.append({"category_id": self._category(label), "segmentation": segmentation, "score": score})
        return sorted(entries, key=lambda entry: -entry["score"])

    def _category(self, label: float) -> int:
        ids = self._names.category_ids()
        if label not in range(len(ids)):
            raise ValueError(f"a label is {label:g}, expected 0 to {len(ids) - 1}")
        return ids[int(label)]

    def _save(self, path: Path, rows: list[Row]) -> None:
        path.write_text("[" + ",\n".join(text for _, text in rows) + "]\n", encoding="utf-8")

    def table(self, path: Path) -> "pd.DataFrame":
        import pandas as pd

        entries = self._entries(path)
        rows = []
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict) or "image_id" not in entry:
                raise SubmissionError(f"{path}, result {place}: {str(entry)[:60]} has no image_id")
            try:
                rows.append((self._names.image_id(entry["image_id"]), json.dumps(entry)))
            except ValueError as error:
                raise SubmissionError(f"{path}, result {place}: {error}") from error
        rows.sort(key=lambda row: row[0])  # the order of results says nothing
        return pd.DataFrame(rows, columns=list(self.columns), dtype=str)

    def _entries(self, path: Path) -> list[Any]:
        content = _content(path)
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            return content["annotations"]
        if not isinstance(content, list):
            raise SubmissionError(f"{path} is not a COCO results file, expected a list of results, or annotations")
        return content

    def _sample_keys(self, sample: Path) -> list[Row]:
        content = _content(sample)
        if not isinstance(content, dict):
            return super()._sample_keys(sample)
        return [(self._names.image_id(item["id"]),) for item in content.get("images", [])]

    def _compare(self, path: Path, order: list[Row], expected: list[Row]) -> None:
        super()._compare(path, sorted(order), sorted(expected))

    def _where(self, path: Path, number: int) -> str:
        return str(path)

    def image(self, texts: list[Row], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Arrays of one image.

        Boxes: `boxes` `(n, 6)`; of annotations with crowds also `ignored_boxes`, `ignored_labels`, `ignored_crowd`.
        Masks: `masks` `(n,)`, runs `(2, R)` each (see `masks.run_length_masks`), `scores` `(n, K)`, NaN for other
        classes, and ids `instances` `(H, W)`, of which the one with the best score wins where masks overlap; of
        annotations with crowds also `valid` `(H, W)`.
        """
        entries = [json.loads(text) for _, text in texts]
        labels = []
        for entry in entries:
            category = entry.get("category_id")
            if category not in self._names.category_ids():
                raise ValueError(
                    f"category_id of {_shown(entry)} is {category!r}, expected one of {self._names.category_ids()[:12]}"
                )
            labels.append(self._names.category_ids().index(category))
        crowd = np.array([entry.get("iscrowd", 0) == 1 for entry in entries], bool)
        scores = np.array([_score(entry) for entry in entries], np.float64)
        read = self._read_boxes if self.kind == "boxes" else self._read_masks
        return read(entries, np.array(labels, np.int64), scores, crowd, size)

    def _read_boxes(
        self, entries: list[dict], labels: np.ndarray, scores: np.ndarray, crowd: np.ndarray, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        boxes = np.zeros((len(entries), 6))
        for place, (entry, score) in enumerate(zip(entries, scores, strict=True)):
            box = entry.get("bbox")
            if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
                raise ValueError(f"bbox of {_shown(entry)} is {box!r}, expected [x, y, width, height]")
            _check_box(box, score, f"bbox of {_shown(entry)}")
            x, y, width, height = box
            beyond = min(x, y) < -SLACK or x + width > size[1] + SLACK or y + height > size[0] + SLACK
            if "score" in entry and beyond:
                raise ValueError(f"bbox {box} exceeds the image of {size[1]} x {size[0]} pixels")
            boxes[place] = x, y, x + width, y + height, score, labels[place]
        found = {self.output: boxes[~crowd]}
        if crowd.any():
            found |= {f"ignored_{self.output}": boxes[crowd, :4], "ignored_labels": labels[crowd]}
            found |= {"ignored_crowd": np.ones(int(crowd.sum()), bool)}
        return found

    def _read_masks(
        self, entries: list[dict], labels: np.ndarray, scores: np.ndarray, crowd: np.ndarray, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        masks = [runs_of_segmentation(entry.get("segmentation"), size, _shown(entry)) for entry in entries]
        kept = np.flatnonzero(~crowd)
        runs = np.empty(len(kept), object)
        for place, number in enumerate(kept):
            runs[place] = masks[number]
        table = np.full((len(kept), len(self._names.category_ids())), np.nan)
        table[np.arange(len(kept)), labels[kept]] = scores[kept]
        order = np.argsort(scores[kept], kind="stable")
        ids = _painted([(place + 1, masks[kept[place]]) for place in order], size)
        found = {"masks": runs, self.scores: table, self.output: ids}
        if crowd.any():
            found["valid"] = (_painted([(1, masks[number]) for number in np.flatnonzero(crowd)], size) == 0) | (ids > 0)
        return found


def _painted(masks: list[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """Number of the last mask that covers each pixel, `(H, W)` int32."""
    flat = np.zeros(size[0] * size[1], np.int32)
    for number, runs in masks:
        for first, end in runs.T:
            flat[first:end] = number
    return np.ascontiguousarray(flat.reshape(size[::-1]).T)


def _content(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        raise SubmissionError(f"{path} does not exist; check data.sample_submission, or the file name") from None
    except ValueError as error:
        raise SubmissionError(str(error)) from None


def _check_box(box: list[float], score: float, what: str) -> None:
    if not np.isfinite(box).all() or not 0 <= score <= 1:
        raise ValueError(f"{what} is {box} with score {score:g}; expected finite numbers and a score in 0..1")
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"{what} has no area: its width is {box[2]:g}, its height {box[3]:g}")


def _score(entry: dict[str, Any]) -> float:
    """Score of a result; 1 for an annotation."""
    score = entry.get("score", 1.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError(f"score of {_shown(entry)} is {score!r}, expected a number in 0..1")
    return float(score)


def _shown(entry: dict[str, Any]) -> str:
    return f"annotation {entry['id']!r}" if "id" in entry else "a result"

"""One row per image with its masks and their confidences per class in one field."""

import base64
import binascii
import zlib

import numpy as np

from files.tables import comma_hint
from masks import coco_rle
from masks.run_length_masks import runs_of
from submissions.base import Submission, require_array
from submissions.labels import class_names, class_place


class Cells(Submission):
    """`ImageID,ImageWidth,ImageHeight,PredictionString` of Human Protein Atlas single cells (2021).

    The field repeats class, confidence and mask; a mask is COCO's run lengths, compressed by zlib, in base64. A cell
    with several classes is written once per class.

    Args:
        classes: class names in the order of the scores; a number K means 0 … K - 1.
        min_score: smallest score to write. 0 writes every class of every cell, as the ranking of the metric rewards; a
            gigabyte for the competition's test set.
        empty: text for an image without cells.
        id_column: name of the id column.
        width_column: name of the column of the image width in pixels.
        height_column: name of the column of the image height in pixels.
        value_column: name of the column of masks.
        output: name of the instance ids `(H, W)` in the prediction.
        scores: name of the scores `(n, K)` in 0..1, in row i - 1 for id i.
    """

    blended = False

    def __init__(
        self,
        classes: int | list[str] = 19,
        min_score: float = 0.0,
        empty: str = "",
        id_column: str = "ImageID",
        width_column: str = "ImageWidth",
        height_column: str = "ImageHeight",
        value_column: str = "PredictionString",
        output: str = "instances",
        scores: str = "scores",
    ) -> None:
        self.columns = (id_column, width_column, height_column, value_column)
        self.classes, self.min_score, self.empty, self.output, self.scores = classes, min_score, empty, output, scores

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        labels, scores = require_array(prediction, self.output), require_array(prediction, self.scores)
        names, count = class_names(self.classes), int(labels.max(initial=0))
        scores = scores.reshape(-1, len(names)) if not scores.size else scores
        if scores.ndim != 2 or scores.shape[1] != len(names) or len(scores) < count:
            raise ValueError(
                f"{self.scores!r} is {scores.shape}, expected ({count}, {len(names)}): a row per instance, a "
                "column per class"
            )
        masks, parts = runs_of(labels), []
        for number, (runs, own) in enumerate(zip(masks, scores, strict=False), 1):
            if not runs.shape[1]:
                continue
            if not ((own >= 0) & (own <= 1)).all():
                raise ValueError(f"scores of instance {number} are {own.min()} to {own.max()}, expected 0..1")
            text = base64.b64encode(zlib.compress(coco_rle.encode(runs, labels.size))).decode()
            parts += [
                f"{name} {np.float32(score)} {text}"
                for name, score in zip(names, own, strict=True)
                if score >= self.min_score
            ]
        height, width = labels.shape
        return [(image_id, str(width), str(height), " ".join(parts) or self.empty)]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """`masks` `(n,)`, runs `(2, R)` each (see `masks.run_length_masks`), and `scores` `(n, K)`."""
        _, width, height, text = texts[0]
        if [height.strip(), width.strip()] != [str(side) for side in size]:
            raise ValueError(f"the image is {width} x {height} pixels, expected {size[1]} x {size[0]}")
        words = text.split() if text.strip() != self.empty.strip() else []
        if len(words) % 3:
            raise ValueError(f"found {len(words)} words, expected class, confidence and mask in turn")
        names = class_names(self.classes)
        masks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for number, (name, score, mask) in enumerate(zip(words[::3], words[1::3], words[2::3], strict=True), 1):
            try:
                place = class_place(name, names)
                if mask not in masks:
                    masks[mask] = self._runs(mask, size[0] * size[1]), np.full(len(names), np.nan)
                own = masks[mask][1]
                if not np.isnan(own[place]):
                    raise ValueError(f"class {name!r} of the same mask is repeated")
                own[place] = _probability(score)
            except ValueError as error:
                raise ValueError(f"mask {number} of {len(words) // 3}: {error}") from error
        runs = np.empty(len(masks), object)
        for number, (found, _) in enumerate(masks.values()):
            runs[number] = found
        scores = np.array([own for _, own in masks.values()]).reshape(-1, len(names))
        return {"masks": runs, self.scores: scores}

    def _runs(self, text: str, pixels: int) -> np.ndarray:
        try:
            content = zlib.decompress(base64.b64decode(text, validate=True))
        except (binascii.Error, zlib.error, ValueError) as error:
            raise ValueError(f"{text[:20]!r}… is not a mask: {error}") from None
        runs = coco_rle.decode(content, pixels)
        if not runs.shape[1]:
            raise ValueError("the mask is empty")
        return runs


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise ValueError(f"confidence is {text!r}, expected a number in 0..1{comma_hint(text)}")
    return value

"""One row per image with its boxes in one field."""

from typing import Literal

import numpy as np

from submissions.base import Submission, require_array
from submissions.labels import class_names, class_place

SLACK = 0.01  # pixels


class Boxes(Submission):
    """`image_id,PredictionString` with all boxes of an image in one field: VinBigData, RSNA pneumonia.

    A box is class, confidence and four numbers (VinBigData: `3 0.9 10 20 110 220`), or without a class if there is only
    one (RSNA: `0.9 10 20 100 200`); the most confident comes first.

    Args:
        classes: class names by label, as written in the file; a number K means 0 … K - 1 (default: the class names of
            the data if there are several). None: a single class, which is not written.
        layout: `xyxy` (corners: VinBigData) or `xywh` (corner and size: RSNA).
        id_column: name of the id column: `image_id`, in RSNA `patientId`.
        value_column: name of the column of boxes.
        empty: text for an image without boxes: empty (RSNA), `14 1 0 0 1 1` (VinBigData).
        suffix: suffix of ids in the file that image ids lack.
        output: name of the boxes `(n, 6)` in the prediction: x1, y1, x2, y2 in pixels, score, label.
    """

    blended = False

    def __init__(
        self,
        classes: int | list[str] | None = None,
        layout: Literal["xyxy", "xywh"] = "xyxy",
        id_column: str = "image_id",
        value_column: str = "PredictionString",
        empty: str = "",
        suffix: str = "",
        output: str = "boxes",
    ) -> None:
        self.columns = (id_column, value_column)
        self.classes, self.layout, self.empty, self.suffix, self.output = classes, layout, empty, suffix, output
        self._check_spaces()

    def take_classes(self, names: list[str] | None) -> None:
        if names is not None and len(names) > 1:
            self.classes = names
            self._check_spaces()

    def _check_spaces(self) -> None:
        inside = next((name for name in class_names(self.classes or 0) if len(name.split()) != 1), None)
        if inside is not None:
            raise ValueError(f"Boxes: class {inside!r} has a space, which separates fields; rename it")

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        boxes = require_array(prediction, self.output)
        boxes = boxes.reshape(-1, 6) if not boxes.size else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 6 or boxes.dtype.kind != "f":
            raise ValueError(
                f"{self.output!r} is {boxes.dtype} {boxes.shape}, expected boxes (n, 6): x1, y1, x2, y2, score, label"
            )
        names = class_names(self.classes or 0)
        parts = []
        for number in np.argsort(-boxes[:, 4], kind="stable"):
            corners, (score, label) = boxes[number, :4].copy(), boxes[number, 4:]
            _check(corners, score, f"box {number}")
            if self.layout == "xywh":
                corners[2:] -= corners[:2]
            if self.classes is not None:
                if label not in range(len(names)):
                    raise ValueError(f"box {number} has label {label:g}, expected 0 to {len(names) - 1}")
                parts.append(names[int(label)])
            # Enough digits to restore the same float32.
            parts += [str(value) for value in (np.float32(score), *corners.astype(np.float32))]
        return [(image_id + self.suffix, " ".join(parts) or self.empty)]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        words = texts[0][1].split()
        count = 5 if self.classes is None else 6
        if len(words) % count:
            raise ValueError(f"found {len(words)} words, expected {count} per box")
        names = class_names(self.classes or 0)
        boxes = np.zeros((len(words) // count, 6))
        for number, start in enumerate(range(0, len(words), count)):
            own = words[start : start + count]
            boxes[number, 5] = 0 if self.classes is None else class_place(own[0], names)
            try:
                score, *corners = (float(word) for word in own[-5:])
            except ValueError:
                raise ValueError(f"box {number} is {' '.join(own)!r}, expected numbers") from None
            if self.layout == "xywh":
                corners[2:] = corners[0] + corners[2], corners[1] + corners[3]
            _check(np.array(corners), score, f"box {number}, {' '.join(own)!r},")
            # A corner plus a side rounded to float32 may slightly exceed the far corner.
            if min(corners[:2]) < 0 or corners[2] > size[1] + SLACK or corners[3] > size[0] + SLACK:
                raise ValueError(f"box {number}, {' '.join(own)!r}, exceeds the image of {size[1]} x {size[0]} pixels")
            boxes[number, :5] = [*corners, score]
        return {self.output: boxes}


def _check(corners: np.ndarray, score: float, what: str) -> None:
    if not np.isfinite(corners).all() or not 0 <= score <= 1:
        raise ValueError(f"{what} has score {score:g} and corners {corners.tolist()}; expected 0..1 and finite numbers")
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise ValueError(f"{what} has no area, its corners are {corners.tolist()}; expected x1 < x2 and y1 < y2")

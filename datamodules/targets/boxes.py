"""Boxes from a CSV, Pascal VOC XML files or a COCO JSON file."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from datamodules.targets.base import Target
from preprocessing.csv_files import read_csv
from preprocessing.files import confined


class Boxes(Target):
    """`boxes` `(n, 4)` float32, xyxy in pixels with the far side excluded, and `labels` `(n,)` int64, numbers from 0.

    Augmentation moves and clips them with the image; a batch holds a list of them.

    Args:
        path: under `data.root`: a CSV or COCO JSON of all images, or, with `{image_id}` in it, a VOC XML per image.
        kind: `csv` (`columns` in the order of `layout`), `voc` or `coco`.
        classes: class names in the order of their numbers; None where there is one class.
        id_column: column of the image id (`csv`); an ending such as `.jpg` may be there.
        columns: the four columns of a box in the CSV.
        layout: `xyxy` (corners) or `xywh` (corner and size: RSNA pneumonia, COCO).
        class_column: column of the class in the CSV; None where there is one class.
        empty_class: value of the class column that means no box (VinBigData's class 14).
    """

    boxes = True
    windowed = True

    def __init__(
        self,
        path: str,
        kind: Literal["csv", "voc", "coco"],
        classes: list[str] | None = None,
        id_column: str = "image_id",
        columns: list[str] | None = None,
        layout: Literal["xyxy", "xywh"] = "xyxy",
        class_column: str | None = None,
        empty_class: str | None = None,
    ) -> None:
        self.path, self.kind, self.classes, self.id_column = path, kind, classes, id_column
        standard = ["xmin", "ymin", "xmax", "ymax"] if layout == "xyxy" else ["x", "y", "width", "height"]
        self.columns, self.layout = columns or standard, layout
        self.class_column, self.empty_class = class_column, empty_class
        if len(self.columns) != 4:
            raise ValueError(f"Boxes: columns are {self.columns}, expected four")
        self._found: dict[str, list[tuple[float, float, float, float, int]]] = {}

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        read = {"csv": self._read_csv, "voc": self._read_voc, "coco": self._read_coco}[self.kind]
        self._found = read(table)

    def files(self, row: Any) -> list[Path]:
        return [confined(self.root, self.path.replace("{image_id}", row.image_id))]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        found = np.array(self._found.get(row.image_id, []), np.float32).reshape(-1, 5)
        boxes, labels = found[:, :4], found[:, 4].astype(np.int64)
        top, left, height, width = getattr(row, "window", (0, 0, *size))
        outside = (boxes[:, 0] >= width + left) | (boxes[:, 1] >= height + top)
        outside |= (boxes[:, 2] <= left) | (boxes[:, 3] <= top)
        if not hasattr(row, "window") and outside.any():
            raise ValueError(
                f"{self.path}: box {boxes[outside][0].tolist()} of image {row.image_id!r} lies outside its size {size}"
            )
        boxes = boxes[~outside] - np.array([left, top, left, top], np.float32)
        limits = np.array([width, height, width, height], np.float32)
        return {"boxes": np.clip(boxes, 0, limits), "labels": labels[~outside]}

    def _number(self, name: str, where: str) -> int:
        if self.classes is None:
            return 0
        if name not in self.classes:
            raise ValueError(f"{where}: class {name!r}, expected one of {', '.join(self.classes)}; set target.classes")
        return self.classes.index(name)

    def _box(self, numbers: list[float], name: str, where: str, layout: str) -> tuple:
        left, top, right, bottom = numbers
        if layout == "xywh":
            right, bottom = left + right, top + bottom
        if not (right > left and bottom > top):
            raise ValueError(f"{where}: box {numbers} has no area; is its layout {layout}?")
        return left, top, right, bottom, self._number(name, where)

    def _read_csv(self, table: pd.DataFrame) -> dict[str, list]:
        path = confined(self.root, self.path)
        rows = read_csv(path)
        wanted = [self.id_column, *self.columns, *([self.class_column] if self.class_column else [])]
        lacking = [column for column in wanted if column not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        known, found = set(table["image_id"]), {}
        kinds = rows[self.class_column] if self.class_column else [""] * len(rows)
        for number, (name, kind, *texts) in enumerate(
            zip(rows[self.id_column], kinds, *(rows[column] for column in self.columns), strict=True), 2
        ):
            image_id = name if name in known else Path(name).stem
            if all(not text.strip() or text.strip().lower() == "nan" for text in texts) or kind == self.empty_class:
                continue  # a row without a box says that there is none
            where = f"{path}, row {number}"
            try:
                numbers = [float(text) for text in texts]
            except ValueError:
                raise ValueError(f"{where}: box {texts} is no four numbers") from None
            found.setdefault(image_id, []).append(self._box(numbers, kind, where, self.layout))
        return found

    def _read_voc(self, table: pd.DataFrame) -> dict[str, list]:
        found = {}
        for image_id in table["image_id"]:
            path = confined(self.root, self.path.replace("{image_id}", image_id))
            if not path.is_file():
                raise FileNotFoundError(f"image {image_id!r} has no boxes: no file {path}")
            try:
                objects = ElementTree.parse(path).getroot().findall("object")
                found[image_id] = [
                    self._box(
                        [float(item.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")],
                        item.findtext("name", ""),
                        str(path),
                        "xyxy",
                    )
                    for item in objects
                ]
            except (ElementTree.ParseError, TypeError) as error:
                raise ValueError(f"{path} is no Pascal VOC file: {error}") from error
        return found

    def _read_coco(self, table: pd.DataFrame) -> dict[str, list]:
        path = confined(self.root, self.path)
        try:
            content = json.loads(path.read_text())
            names = {item["id"]: Path(item["file_name"]).stem for item in content["images"]}
            kinds = {item["id"]: item["name"] for item in content["categories"]}
            annotations = content["annotations"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no COCO file: {error!r}") from error
        found: dict[str, list] = {}
        for item in annotations:
            where = f"{path}, annotation {item['id']}"
            box = self._box([float(value) for value in item["bbox"]], kinds[item["category_id"]], where, "xywh")
            found.setdefault(names[item["image_id"]], []).append(box)
        return found

"""Boxes from a CSV, Pascal VOC XML files or a COCO JSON file."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.row import Row
from datamodules.targets.base import Target
from datamodules.targets.boxes_files import CROWD, OBJECT, BoxRows, check_size, read_box_csv, read_coco, read_voc
from datamodules.targets.patterns import one_file_each, tables_by_file
from files.paths import confined

IGNORED = ("ignored_boxes", "ignored_labels", "ignored_crowd")
ARRAYS = ("boxes", "labels", *IGNORED)  # arrays whose length varies between images, not over pixels


class Boxes(Target):
    """`boxes` `(n, 4)` float32, xyxy in pixels with the far side excluded, and `labels` `(n,)` int64, numbers from 0.

    Augmentation moves and clips them with the image; a batch has a list of them.

    COCO's `iscrowd` (a region of many objects) and VOC's `difficult` boxes are neither trained on nor counted as
    missed. They are in `ignored_boxes` `(m, 4)`, `ignored_labels` `(m,)` and `ignored_crowd` `(m,)` bool, used by
    validation and by the metrics of boxes: an unmatched detection is ignored if it overlaps one of its class, a crowd
    by the share of its own area (COCO), a difficult object by IoU (VOC). These arrays exist only if the files have such
    boxes; training samples do not have them.

    Image sizes declared in COCO and VOC files must match the images.

    Args:
        path: path under `data.root` of a CSV or COCO JSON of all images or, with `{image_id}`, of one VOC XML per
            image (`{split}`, `{column}` and `*` as of `MaskFiles`). `labels/instances_{split}.json` is a COCO JSON
            per folder of images.
        kind: file format: `csv` (`columns` in the order of `layout`), `voc` or `coco`.
        classes: class names in the order of their numbers (default: `data.classes`, if it has several and the files
            have classes); None for one class.
        id_column: column of the image id or path (`csv`).
        columns: the four columns of a box in the CSV.
        layout: `xyxy` (corners) or `xywh` (corner and size: RSNA pneumonia, COCO).
        class_column: column of the class in the CSV; None for one class.
        empty_class: class value that means no box (VinBigData's class 14).
        base: number of the first pixel. 1: the standard of VOC, where 1 to 20 are the first twenty pixels, the far side
            included. 0: the far side is excluded, 0 to 20 are these pixels (default: 1 for `voc`, else 0).
        folders: whether folders in the image names of a CSV or COCO file must match those of the images; otherwise
            only file names are compared.
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
        base: Literal[0, 1] | None = None,
        folders: bool = True,
    ) -> None:
        self.path, self.kind, self.classes, self.id_column = path, kind, classes, id_column
        standard = ["xmin", "ymin", "xmax", "ymax"] if layout == "xyxy" else ["x", "y", "width", "height"]
        self.columns, self.layout = columns or standard, layout
        self.class_column, self.empty_class, self.base, self.folders = class_column, empty_class, base, folders
        if len(self.columns) != 4:
            raise ValueError(f"Boxes: columns are {self.columns}, expected 4")
        if base not in (None, 0, 1):
            raise ValueError(f"Boxes: base is {base}, expected 0 or 1")
        self._found: dict[str, np.ndarray] = {}  # (n, 6) per image: xyxy, label, kind
        self._paths: dict[str, Path] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._ignores = False

    def adopts_classes(self, count: int) -> bool:
        return count > 1 and (self.kind != "csv" or self.class_column is not None)

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        if self.kind == "voc":
            self._paths = one_file_each(self.root, self.path, table, "boxes")
            parts = [read_voc(self._paths)]
        elif self.kind == "coco":
            tables = tables_by_file(self.root, self.path, table, "file of boxes")
            self._paths = {image_id: file for file, part in tables.items() for image_id in part["image_id"]}
            parts = [read_coco(file, part, self.root, self.folders) for file, part in tables.items()]
        else:
            settings = self.id_column, self.columns, self.class_column, self.empty_class, self.folders
            parts = [read_box_csv(self._file(), table, self.root, *settings)]
        self._found, self._sizes = {}, {}
        for rows in parts:
            self._found |= self._by_image(rows)
            self._sizes |= rows.sizes
        self._ignores = any((rows.kinds != OBJECT).any() for rows in parts)
        if not any((found[:, 5] == OBJECT).any() for found in self._found.values()):
            warnings.warn(f"{self.path}: none of {len(table)} images has a box", stacklevel=2)

    def _file(self) -> Path:
        return confined(self.root, self.path)

    def files(self, row: Row) -> list[Path]:
        return [self._paths[row.image_id] if self._paths else self._file()]

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        self.read(row, size)  # opens no file, so it is also done for images read by windows

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        found = self._found.get(row.image_id, np.zeros((0, 6)))
        if not hasattr(row, "window"):
            self._check(row, found, size)
        boxes, seen = cut_boxes(found[:, :4], getattr(row, "window", (0, 0, *size)))
        labels, kinds = found[seen, 4].astype(np.int64), found[seen, 5]
        own = kinds == OBJECT
        arrays = {"boxes": boxes[own], "labels": labels[own]}
        if self._ignores:
            arrays |= dict(zip(IGNORED, (boxes[~own], labels[~own], kinds[~own] == CROWD), strict=True))
        return arrays

    def _check(self, row: Row, found: np.ndarray, size: tuple[int, int]) -> None:
        """Reject boxes of an image of another size."""
        check_size(self._sizes.get(row.image_id), size, row, self.files(row)[0])
        outside = (found[:, :2] >= size[::-1]).any(axis=1) | (found[:, 2:4] <= 0).any(axis=1)
        if outside.any():
            raise ValueError(
                f"{self.path}: box {found[outside][0, :4].tolist()} of image {row.image_id!r} is outside of its size "
                f"{tuple(size)}"
            )

    def _by_image(self, rows: BoxRows) -> dict[str, np.ndarray]:
        """Return `(n, 6)` for each image: corners with the far side excluded, class number, kind."""
        boxes = rows.numbers.copy()
        layout, base = (
            ("xywh", 0) if self.kind == "coco" else (self.layout if self.kind == "csv" else "xyxy", self.base)
        )
        base = (1 if self.kind == "voc" else 0) if self.base is None else self.base
        if base == 1:
            self._warn_of_zeros(rows)
            boxes[:, :2] -= 1  # the far side stays: the last pixel counted from 1 is the first beyond counted from 0
        if layout == "xywh":
            boxes[:, 2:] += boxes[:, :2]
        sides = boxes[:, 2:] - boxes[:, :2]
        wrong = (sides < 0).any(axis=1)
        if wrong.any():
            number = int(wrong.argmax())
            raise ValueError(
                f"{rows.where(number)}: box {rows.numbers[number].tolist()} has no area; is its layout {layout}?"
            )
        flat = (sides == 0).any(axis=1)
        if flat.any():
            places = [rows.where(int(number)) for number in np.flatnonzero(flat)[:3]]
            warnings.warn(
                f"{self.path}: {flat.sum()} of {len(flat)} boxes have no area and are ignored: {'; '.join(places)}",
                stacklevel=3,
            )
        content = np.column_stack([boxes, self._numbers(rows), rows.kinds])[~flat]
        ids = np.array(rows.ids, object)[~flat]
        names, owner = np.unique(ids.astype(str), return_inverse=True)
        order = np.argsort(owner, kind="stable")
        parts = np.split(content[order], np.cumsum(np.bincount(owner, minlength=len(names)))[:-1])
        return dict(zip(names.tolist(), parts, strict=True)) if len(names) else {}

    def _numbers(self, rows: BoxRows) -> np.ndarray:
        """Return the class number of each box."""
        if self.classes is None:
            return np.zeros(len(rows.names))
        number_of = {name: number for number, name in enumerate(self.classes)}
        numbers = np.array([number_of.get(name, -1) for name in rows.names], np.int64)
        if (numbers < 0).any():
            wrong = int((numbers < 0).argmax())
            raise ValueError(
                f"{rows.where(wrong)}: class {rows.names[wrong]!r}, expected one of {', '.join(self.classes)}; set "
                "target.classes"
            )
        return numbers

    def _warn_of_zeros(self, rows: BoxRows) -> None:
        """Warn about coordinates of 0, which suggest that pixels are counted from 0."""
        zeros = np.flatnonzero((rows.numbers[:, :2] < 1).any(axis=1))
        if len(zeros):
            warnings.warn(
                f"{rows.where(int(zeros[0]))}: box {rows.numbers[zeros[0]].tolist()} begins before pixel 1, like "
                f"{len(zeros)} of {len(rows.numbers)} boxes; if the files count from 0, set base: 0 of the target",
                stacklevel=4,
            )


def cut_boxes(boxes: np.ndarray, window: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to a window, in its pixels; returns boxes `(k, 4)` float32 and which of the input `(n,)` they are.

    Args:
        boxes: `(n, 4)` xyxy in pixels of the image; those outside the window are dropped.
        window: `(top, left, height, width)` in the image.
    """
    top, left, height, width = window
    moved = boxes - (left, top, left, top)
    seen = (moved[:, :2] < (width, height)).all(axis=1) & (moved[:, 2:] > 0).all(axis=1)
    return np.clip(moved[seen], 0, (width, height, width, height)).astype(np.float32), seen


def cut_lists(arrays: dict[str, np.ndarray], window: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Crop the `ARRAYS` of a whole image to a window, as `Boxes` reads them."""
    result = {}
    for prefix in ("", "ignored_"):
        if f"{prefix}boxes" in arrays:
            result[f"{prefix}boxes"], seen = cut_boxes(arrays[f"{prefix}boxes"], window)
            others = (f"{prefix}labels", f"{prefix}crowd")
            result |= {name: arrays[name][seen] for name in others if name in arrays}
    return result

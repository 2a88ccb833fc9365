"""Boxes and polygons of YOLO data sets."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from annotations.yolo import read_labels, read_names
from datamodules.row import Row
from datamodules.targets.objects import Objects, Output
from datamodules.targets.patterns import located, sought, tell_missing
from files.paths import confined
from masks.shapes import Shape
from masks.strokes import rectangle


class Yolo(Objects):
    """`boxes`, `mask` or `instances` from YOLO label files: a text per image, a line `class x y width height` per box.

    A line `class x y x y x y …` is a polygon. Coordinates are relative to the width and height of the image. In masks,
    a box is drawn as a rectangle, and a polygon by the rule "area only" of `masks.polygons.filled`; the box of a
    polygon is its bounding box. Where objects overlap, the later one wins, except between `channels`. An empty or
    missing file means no object. Of data sets with keypoints (`kpt_shape`), boxes are read.

    Args:
        output: `boxes`: `boxes` `(n, 4)` float32 xyxy in pixels and `labels` `(n,)`; `classes`: class numbers
            `(H, W)` int64, 0 for background; `channels`: a mask per class `(K, H, W)` uint8; `instances`: ids `(H, W)`
            int32.
        data: path under `data.root` of the `data.yaml` with `names` (a list, or a mapping of class numbers), or of a
            text with a name per line.
        labels: path of the label files under `data.root`, with `{image_id}` (`{split}`, `{column}` and `*` as of
            `MaskFiles`; default: the path of the image with its
            last folder `images` replaced by `labels`, or beside the image if it has none).
        classes: names of the classes to use, in the order of their numbers, without the background; other objects are
            left out (default: those of `data.classes`, whose first is the background for `output: classes`;
            else all of `data`).
        unlabelled: for `classes`, pixels without an object: `background` is class 0; `void` ignores them, and the first
            class is 0.
        name: name of the array (default: `instances` for ids, else `mask`).

    Raises:
        ValueError: if no image has a label file, or a line is invalid; names file and line.

    Example:
        >>> import pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> target, image = Yolo(output="boxes"), "images/a.jpg"
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "data.yaml").write_text("names: [car, tree]")
        ...     Path(folder, "labels").mkdir()
        ...     _ = Path(folder, "labels/a.txt").write_text("1 0.5 0.5 0.2 0.5")
        ...     target.prepare(pd.DataFrame({"image_id": ["a"], "path": [f"{folder}/{image}"]}), Path(folder))
        ...     found = target.read(SimpleNamespace(image_id="a", path=f"{folder}/{image}"), (40, 100))
        >>> found["boxes"].tolist(), found["labels"].tolist()
        ([[40.0, 10.0, 60.0, 30.0]], [1])
    """

    def __init__(
        self,
        output: Output,
        data: str = "data.yaml",
        labels: str | None = None,
        classes: list[str] | None = None,
        unlabelled: Literal["background", "void"] = "background",
        name: str | None = None,
    ) -> None:
        super().__init__(output, classes, unlabelled, name)
        self.data, self.labels = data, labels
        self._paths: dict[str, Path] = {}

    def where(self) -> str:
        return self.data

    def file_classes(self, root: Path) -> list[str]:
        return read_names(confined(root, self.data)).names

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._data = read_names(confined(root, self.data))
        if self._data.keypoints and not self.boxes:
            raise ValueError(
                f"{self._data.path} describes keypoints (kpt_shape), whose files have boxes alone; set output: boxes"
            )
        place: Callable[[str], str | Path]
        if self.labels is not None:
            self._paths = located(self.root, self.labels, table, what="label file")
            place = partial(sought, self.root, self.labels, table)
        else:
            paths = table["path"] if "path" in table else table["image_id"]
            beside = {image_id: _beside(path) for image_id, path in zip(table["image_id"], paths, strict=True)}
            self._paths = {image_id: path for image_id, path in beside.items() if path.is_file()}
            place = beside.__getitem__
        cure = "Set labels of the target, with {image_id} for the name of the image"
        tell_missing(table, self._paths, "label file", place, cure)

    def files(self, row: Row) -> list[Path]:
        return [confined(self.root, self.data), *([self._paths[row.image_id]] if row.image_id in self._paths else [])]

    def objects(self, row: Row, size: tuple[int, ...]) -> list[Shape]:
        if row.image_id not in self._paths:
            return []
        sides, shapes = np.array(size[::-1]), []
        for label, found in read_labels(self._paths[row.image_id], self._data):
            if found.ndim == 2:
                shapes.append(Shape(label, (found * sides,)))
                continue
            corners = np.concatenate([found[:2] - found[2:] / 2, found[:2] + found[2:] / 2]) * np.tile(sides, 2)
            shapes.append(Shape(label, (rectangle(*corners),), box=corners.tolist()))
        return shapes


def _beside(path: str) -> Path:
    """Return the label file of an image as Ultralytics finds it."""
    parts = list(Path(path).parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")

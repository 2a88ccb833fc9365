"""Masks, ids, class numbers or boxes from a COCO file."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from annotations.coco import CocoFile, read_coco_file
from annotations.coco_segmentations import has_area, parts_of
from datamodules.row import Row
from datamodules.targets.boxes_files import check_size
from datamodules.targets.coco_images import coco_files
from datamodules.targets.objects import Objects, Output
from datamodules.targets.patterns import any_file
from masks.coco_polygons import coco_patches
from masks.shapes import Shape


class CocoMasks(Objects):
    """`mask`, `instances` or boxes from the `segmentation` of a COCO file: polygons and run lengths, also compressed.

    Pixels are exactly those of `pycocotools.coco.COCO.annToMask`. An object may have several polygons. Category ids may
    have gaps: class numbers follow their order. Pixels of a crowd (`iscrowd`) are void where no other object covers
    them. Where objects overlap, the later one wins, except between `channels`.

    Boxes are the `bbox` of the annotations, as `datamodules.targets.Boxes` reads them; those of crowds are ignored.

    Image sizes declared in the file must match the images. Several targets may use one file; it is read once.

    Args:
        path: path of the file under `data.root`; `labels/instances_{split}.json` is a file per folder of images
            (`{split}`, `{column}` and `*` as of `MaskFiles`).
        output: `classes`: class numbers `(H, W)` int64, 0 for background; `channels`: a mask per class `(K, H, W)`
            uint8; `instances`: ids `(H, W)` int32; `boxes`: `boxes` `(n, 4)` float32 xyxy and `labels` `(n,)`.
        classes: names of the categories to use, in the order of their numbers, without the background; other objects
            are left out (default: those of `data.classes`, whose first is the background for `output: classes`; else
            all, in the order of their ids).
        unlabelled: for `classes`, pixels without an object: `background` is class 0; `void` ignores them, and the first
            category is class 0.
        folders: whether folders in `file_name` must match those of the images; otherwise only file names are compared.
        name: name of the array (default: `instances` for ids, else `mask`).

    Raises:
        ValueError: if the file is not in COCO format, none of its images is in the table, or an annotation is invalid;
            names the annotation.

    Example:
        >>> import json, numpy as np, pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> square = {"id": 1, "image_id": 1, "category_id": 4, "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]}
        >>> content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 4, "name": "car"}]}
        >>> target = CocoMasks("all.json", output="classes")
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "all.json").write_text(json.dumps(content | {"annotations": [square]}))
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        >>> target.read(SimpleNamespace(image_id="a"), (2, 4))["mask"].tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """

    def __init__(
        self,
        path: str,
        output: Output,
        classes: list[str] | None = None,
        unlabelled: Literal["background", "void"] = "background",
        folders: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(output, classes, unlabelled, name)
        self.path, self.folders = path, folders
        self._found: dict[str, tuple[CocoFile, list[int]]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def where(self) -> str:
        return self.path

    def file_classes(self, root: Path) -> list[str]:
        return read_coco_file(any_file(root, self.path)).names

    def files(self, row: Row) -> list[Path]:
        return [self._found[row.image_id][0].path]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._found, self._sizes, self.ignores = {}, {}, False
        for coco, images, image_of in coco_files(self.root, self.path, table, self.folders, "objects"):
            self._found |= {image_id: (coco, []) for image_id in images}
            found = coco.by_image(image_of)
            self._found |= {image_id: (coco, numbers) for image_id, numbers in found.items()}
            self._sizes |= coco.sizes(image_of)
            self.ignores |= bool(coco.crowd.any())
            self._check(coco, [number for numbers in found.values() for number in numbers])

    def _check(self, coco: CocoFile, numbers: list[int]) -> None:
        """Raise the errors of annotations, and warn about those without area."""
        if self.boxes:
            for number in numbers:
                _box(coco, number)  # raises
            numbers = [number for number in numbers if coco.bbox[number] is None]
        empty = [number for number in numbers if not has_area(coco.segmentation[number], coco.where(number))]
        if not empty:
            return
        if len(empty) == len(numbers) and not self.boxes:
            raise ValueError(
                f"{coco.where(empty[0])} has no segmentation, like all {len(numbers)}; for boxes set output: boxes"
            )
        warnings.warn(
            f"{coco.path}: {len(empty)} of {len(numbers)} annotations have no segmentation, or no polygon of three "
            f"corners, and are left out; the first is {coco.ids[empty[0]]!r}",
            stacklevel=4,
        )

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        if self.boxes:
            self.objects(row, size)
            return
        check_size(self._sizes.get(row.image_id), size, row, self.files(row)[0])
        coco, numbers = self._found[row.image_id]
        for number in numbers:  # decoded, but not drawn
            parts_of(coco.segmentation[number], size, coco.where(number))

    def objects(self, row: Row, size: tuple[int, ...]) -> list[Shape]:
        check_size(self._sizes.get(row.image_id), size, row, self.files(row)[0])
        coco, numbers = self._found[row.image_id]
        shapes: list[Shape] = []
        rings: list[np.ndarray] = []
        owners: list[int] = []
        for place, number in enumerate(numbers):
            box = _box(coco, number) if self.boxes else None
            needed = coco.segmentation[number] if box is None else None
            polygons, patches = parts_of(needed, size, coco.where(number))
            rings += polygons
            owners += [place] * len(polygons)
            if box is not None and (box[0] >= size[1] or box[1] >= size[0] or box[2] <= 0 or box[3] <= 0):
                raise ValueError(
                    f"{coco.where(number)}: bbox {coco.bbox[number]} of image {row.image_id!r} is outside of its size "
                    f"{tuple(size)}"
                )
            shapes.append(Shape(int(coco.labels[number]), (), patches, box, bool(coco.crowd[number])))
        for place, patch in zip(owners, coco_patches(rings, (size[0], size[1])), strict=True):
            if patch is not None:
                shapes[place] = shapes[place]._replace(patches=(*shapes[place].patches, patch))
        return shapes


def _box(coco: CocoFile, number: int) -> list[float] | None:
    """Return the box of an annotation, xyxy; None if it has none.

    Raises:
        ValueError: if it is not four numbers.
    """
    box = coco.bbox[number]
    if box is None:
        return None
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        raise ValueError(f"{coco.where(number)}: bbox is {box!r}, expected [x, y, width, height]")
    x, y, width, height = box
    if not np.isfinite(box).all() or width < 0 or height < 0:
        raise ValueError(f"{coco.where(number)}: bbox is {box!r}, expected a width and height of 0 or more")
    return [x, y, x + width, y + height]

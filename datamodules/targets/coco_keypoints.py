"""Boxes, discs or heat maps around the keypoints of a COCO file."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from annotations.coco import CocoFile, read_coco_file
from datamodules.row import Row
from datamodules.targets.base import Target
from datamodules.targets.boxes import cut_boxes
from datamodules.targets.boxes_files import check_size
from datamodules.targets.coco_images import coco_files
from datamodules.targets.patterns import any_file

FAR = 4  # standard deviations beyond which a heat map is 0; there the Gaussian is below 0.0004
NOT_LABELLED, VISIBLE = 0, 2  # COCO's v; 1 is labelled but hidden


class CocoKeypoints(Target):
    """`keypoints`, a disc or Gaussian per point in a channel per keypoint name, or `boxes`, from a COCO file.

    COCO's coordinates are indices of pixels: x = 3 is the centre of the fourth column. Points with visibility 0 are not
    labelled and left out. Where points of one name meet, discs are joined, and heat maps have the maximum.

    Image sizes declared in the file must match the images. Several targets may use one file; it is read once.

    Args:
        path: path of the file under `data.root`; `labels/person_keypoints_{split}.json` is a file per folder of
            images (`{split}`, `{column}` and `*` as of `MaskFiles`).
        output: `heatmaps`: float32 `(K, H, W)`, 1 at each point, `exp(-d² / (2 sigma²))` at a distance of d pixels;
            `discs`: uint8 `(K, H, W)`, 1 within `radius` of a point; `boxes`: a square of side `2 radius` around each
            point, `boxes` `(n, 4)` float32 xyxy with the far side excluded, and `labels` `(n,)`, numbers of keypoint
            names; `object_boxes`: one box around all points of an object, grown by `radius`, labelled by its category.
        sigma: standard deviation of a Gaussian, in pixels.
        radius: radius of a disc and half the side of a box, in pixels.
        classes: keypoint names (`object_boxes`: categories) to use, in the order of their channels or labels (default:
            those of all categories, in the order of the file). With several categories that have keypoints, a name is
            `category/keypoint`.
        visible: whether points that are labelled but hidden (visibility 1) are left out.
        folders: whether folders in `file_name` must match those of the images; otherwise only file names are compared.
        name: name of the maps.

    Raises:
        ValueError: if the file is not in COCO format, no category has keypoints, none of its images is in the table, or
            an annotation is invalid; names the annotation.

    Example:
        >>> import json, numpy as np, pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> person = {"id": 1, "name": "person", "keypoints": ["nose", "eye"]}
        >>> found = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [2, 1, 2, 0, 0, 0]}
        >>> content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [person], "annotations": [found]}
        >>> target = CocoKeypoints("all.json", output="heatmaps", sigma=1)
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "all.json").write_text(json.dumps(content))
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        >>> maps = target.read(SimpleNamespace(image_id="a"), (3, 5))["keypoints"]
        >>> maps.shape, maps[0, 1].astype(float).round(2).tolist()
        ((2, 3, 5), [0.14, 0.61, 1.0, 0.61, 0.14])
    """

    def __init__(
        self,
        path: str,
        output: Literal["heatmaps", "discs", "boxes", "object_boxes"],
        sigma: float = 2.0,
        radius: float = 4.0,
        classes: list[str] | None = None,
        visible: bool = False,
        folders: bool = True,
        name: str = "keypoints",
    ) -> None:
        if not sigma > 0 or not radius > 0:
            raise ValueError(f"CocoKeypoints: sigma is {sigma} and radius is {radius}, expected pixels above 0")
        self.path, self.output, self.sigma, self.radius, self.classes = path, output, sigma, radius, classes
        self.visible, self.folders, self.name = visible, folders, name
        self.boxes = output in ("boxes", "object_boxes")
        self._points: dict[str, np.ndarray] = {}  # (n, 4) per image: x, y, label, number of the object
        self._sizes: dict[str, tuple[int, int]] = {}
        self._files: dict[str, Path] = {}
        self._channels = 0

    def adopts_classes(self, count: int) -> bool:
        return True

    def class_names(self, root: Path) -> list[str] | None:
        return super().class_names(root) or self._known(read_coco_file(any_file(root, self.path)))

    def _known(self, coco: CocoFile) -> list[str]:
        """Return the names of a file that are channels or labels."""
        return list(coco.keypoints) if self.output == "object_boxes" else _names(coco)

    def files(self, row: Row) -> list[Path]:
        return [self._files[row.image_id]]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._points, self._sizes, self._files = {}, {}, {}
        for coco, images, image_of in coco_files(self.root, self.path, table, self.folders, "keypoints"):
            known = self._known(coco)
            if not known:
                raise ValueError(f"{coco.path}: no category has keypoints, only the names {', '.join(coco.names)}")
            wanted = known if self.classes is None else self.classes
            unknown = next((name for name in wanted if name not in known), None)
            if unknown is not None:
                few = ", ".join(map(repr, known[:40]))
                raise ValueError(f"{coco.path} has no keypoint {unknown!r}, only {few}; set classes of the target")
            number_of, self._channels = {name: number for number, name in enumerate(wanted)}, len(wanted)
            self._sizes |= coco.sizes(image_of)
            self._files |= dict.fromkeys(images, coco.path)
            for image_id, numbers in coco.by_image(image_of).items():
                points = [self._labelled(coco, number, number_of) for number in numbers]
                self._points[image_id] = np.concatenate([np.zeros((0, 4)), *points])

    def _labelled(self, coco: CocoFile, number: int, number_of: dict[str, int]) -> np.ndarray:
        """Return the points `(n, 4)` of an annotation that are labelled and wanted: x, y, label, annotation."""
        category = coco.names[coco.labels[number]]
        if category not in coco.keypoints or coco.points[number] is None:
            return np.zeros((0, 4))  # a crowd, or an object of a class without keypoints
        own = [category] * len(coco.keypoints[category]) if self.output == "object_boxes" else _names(coco, category)
        found = _points(coco, number, len(own))
        labels = np.array([number_of.get(name, -1) for name in own])
        kept = (found[:, 2] > (NOT_LABELLED if not self.visible else VISIBLE - 1)) & (labels >= 0)
        return np.column_stack([found[kept, :2], labels[kept], np.full(kept.sum(), number)])

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        check_size(self._sizes.get(row.image_id), size, row, self.files(row)[0])
        points = self._points.get(row.image_id, np.zeros((0, 4)))
        outside = ((points[:, :2] < -size[1]) | (points[:, :2] > 2 * np.array(size[::-1]))).any(axis=1)
        if outside.any():
            raise ValueError(
                f"{self.path}, image {row.image_id!r}: keypoint {points[outside][0, :2].tolist()} is far outside of "
                f"its size {tuple(size)}; do the keypoints belong to an image of another size?"
            )

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return self.read_window(row, size, (0, 0, *size))

    def read_window(self, row: Row, size: tuple[int, ...], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        self.check(row, size)
        points = self._points.get(row.image_id, np.zeros((0, 4)))
        if self.boxes:
            return self._boxes(points, window)
        is_disc = self.output == "discs"
        maps = np.zeros((self._channels, *window[2:]), np.uint8 if is_disc else np.float32)
        reach = self.radius if is_disc else FAR * self.sigma
        for x, y, label, _ in points - (window[1], window[0], 0, 0):
            rows, columns = _near(y, reach, window[2]), _near(x, reach, window[3])
            down, across = np.arange(rows.start, rows.stop) - y, np.arange(columns.start, columns.stop) - x
            squares = down[:, None] ** 2 + across**2
            part = maps[int(label), rows, columns]
            value = squares <= self.radius**2 if is_disc else np.exp(-squares / (2 * self.sigma**2))
            np.maximum(part, value.astype(maps.dtype), out=part)
        return {self.name: maps}

    def _boxes(self, points: np.ndarray, window: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return boxes around each point, or around those of each object; x + 0.5 is the centre of a pixel."""
        centres, labels, owners = points[:, :2] + 0.5, points[:, 2], points[:, 3]
        if self.output == "boxes":
            owners = np.arange(len(points))
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        if not len(starts):
            return {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)}
        low, high = np.minimum.reduceat(centres, starts), np.maximum.reduceat(centres, starts)
        boxes, seen = cut_boxes(np.concatenate([low - self.radius, high + self.radius], axis=1), window)
        return {"boxes": boxes, "labels": labels[starts][seen].astype(np.int64)}


def _names(coco: CocoFile, category: str | None = None) -> list[str]:
    """Return the names of the keypoints of a category, or of all."""
    prefix = len(coco.keypoints) > 1
    chosen = coco.keypoints if category is None else {category: coco.keypoints[category]}
    return [f"{kind}/{point}" if prefix else point for kind, points in chosen.items() for point in points]


def _points(coco: CocoFile, number: int, count: int) -> np.ndarray:
    """Return x, y and visibility `(count, 3)` of an annotation.

    Raises:
        ValueError: if it is anything else.
    """
    given = coco.points[number]
    try:
        found = np.array(given, np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        found = np.zeros((0, 3))
    if len(found) != count or not np.isfinite(found).all():
        size = len(given) if isinstance(given, list) else "no"
        raise ValueError(
            f"{coco.where(number)}: keypoints has {size} numbers, expected {3 * count}: x, y, v of {count} names"
        )
    if not np.isin(found[:, 2], (0, 1, 2)).all():
        odd = found[~np.isin(found[:, 2], (0, 1, 2))][0].tolist()
        raise ValueError(f"{coco.where(number)}: keypoint {odd} has visibility {odd[2]:g}, expected 0, 1 or 2")
    return found


def _near(centre: float, reach: float, side: int) -> slice:
    """Return the pixels within a distance, inside 0..side."""
    first = min(max(int(np.ceil(centre - reach)), 0), side)
    return slice(first, max(min(int(np.floor(centre + reach)) + 1, side), first))

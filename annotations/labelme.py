"""The JSON files of labelme: shapes and flags of an image."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from annotations.sizes import declared_size
from files.read_once import read_once
from files.texts import read_json
from masks.pillow_shapes import pillow_patch
from masks.shapes import Patch, Shape, bounds

# Number of points of each kind of shape: least and most.
POINTS = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (1, None),
    "point": (1, 1),
    "points": (1, None),
    "mask": (2, 2),
}
THIN = ("line", "linestrip", "point", "points")


class LabelMeShape(NamedTuple):
    """A shape of an image.

    Attributes:
        label: its class.
        kind: `shape_type` of the file.
        points: `(n, 2)` as (x, y) in pixels.
        group: shapes of one label and group are one object; None: an object of its own.
        flags: names of its flags that are set.
        mask: bool `(h, w)` of the pixels from the first point to the second, both included; of kind `mask` only.
        where: file and shape, for messages.
    """

    label: str
    kind: str
    points: np.ndarray
    group: int | None
    flags: frozenset[str]
    mask: np.ndarray | None
    where: str

    def patches(self, size: tuple[int, int], width: int | None) -> tuple[Patch, ...]:
        """Return the pixels of the shape, exactly those of labelme's `shapes_to_label` for a width of 10.

        Args:
            size: `(H, W)` of the image.
            width: width of lines and diameter of points, in pixels.

        Raises:
            ValueError: if it is a line or point and there is no width.
        """
        self._check(width)
        if self.mask is not None:
            left, top = self.points[0].astype(int).tolist()
            return (Patch(top, left, self.mask),)
        if self.kind in ("line", "linestrip"):
            parts = [pillow_patch("line", self.points, size, width or 1)]
        elif self.kind in ("point", "points", "circle"):
            centres = self.points if self.kind == "points" else self.points[:1]
            boxes = [_around(point, self._radius(width)) for point in centres]
            parts = [pillow_patch("ellipse", box, size) for box in boxes]
        else:
            parts = [pillow_patch("rectangle" if self.kind == "rectangle" else "polygon", self.points, size)]
        return tuple(part for part in parts if part is not None)

    def box(self, width: int | None) -> list[float] | None:
        """Return the corners xyxy of the shape in pixels; None if its mask is empty. Errors are those of `patches`."""
        self._check(width)
        if self.mask is not None:
            found = bounds(Shape(0, patches=self.patches((0, 0), width)))
            return None if found is None else found.tolist()
        margin = 0.0 if self.kind not in (*THIN, "circle") else self._radius(width)
        points = self.points[:1] if self.kind == "circle" else self.points
        return [*(points.min(axis=0) - margin).tolist(), *(points.max(axis=0) + margin).tolist()]

    def _check(self, width: int | None) -> None:
        if self.kind in THIN and width is None:
            raise ValueError(
                f"{self.where}: a {self.kind} has no area; set width of the target in pixels (labelme's converters use "
                "10), or leave its label out of classes"
            )

    def _radius(self, width: int | None) -> float:
        """Return the radius of a circle, or half the width of lines and points."""
        return float(np.hypot(*(self.points[1] - self.points[0]))) if self.kind == "circle" else (width or 0) / 2


class LabelMeFile(NamedTuple):
    """The contents of a file.

    Attributes:
        shapes: shapes in drawing order.
        flags: flags of the image by name, in the order of the file.
        size: `(H, W)` of the image; None if the file does not say.
    """

    shapes: tuple[LabelMeShape, ...]
    flags: dict[str, bool]
    size: tuple[int, int] | None


@read_once(keep=100_000)
def read_labelme_file(path: Path) -> LabelMeFile:
    """Read a file of labelme, or return it as read before if it has not changed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if it is not a file of labelme, or a shape is invalid; names it.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise ValueError(f"{path} is not a file of labelme: it has no list 'shapes'")
    shapes = [_shape(item, f"{path}, shape {number}") for number, item in enumerate(content["shapes"], 1)]
    flags = content.get("flags") or {}
    if not isinstance(flags, dict) or not all(isinstance(value, bool) for value in flags.values()):
        raise ValueError(f"{path}: flags is {str(flags)[:60]}, expected names with true or false")
    return LabelMeFile(tuple(shapes), flags, declared_size(content.get("imageHeight"), content.get("imageWidth")))


def _shape(item: Any, where: str) -> LabelMeShape:
    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        raise ValueError(f"{where} has no label: {str(item)[:60]}")
    label, kind = item["label"], item.get("shape_type") or "polygon"  # the first versions had polygons alone
    where = f"{where} ({label!r})"
    if kind not in POINTS:
        raise ValueError(f"{where}: shape_type is {kind!r}, expected one of {', '.join(POINTS)}")
    try:
        points = np.array(item.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"{where}: points is {str(item.get('points'))[:60]}, expected [[x, y], …] in pixels")
    low, high = POINTS[kind]
    if len(points) < low or (high is not None and len(points) > high):
        raise ValueError(f"{where}: a {kind} of {len(points)} points, expected {low}{'' if high else ' or more'}")
    group, flags = item.get("group_id"), item.get("flags") or {}
    if group is not None and not isinstance(group, int):
        raise ValueError(f"{where}: group_id is {group!r}, expected a whole number or null")
    if not isinstance(flags, dict):
        raise ValueError(f"{where}: flags is {str(flags)[:60]}, expected names with true or false")
    mask = _mask(item.get("mask"), points, where) if kind == "mask" else None
    return LabelMeShape(label, kind, points, group, frozenset(name for name, on in flags.items() if on), mask, where)


def _mask(text: Any, points: np.ndarray, where: str) -> np.ndarray:
    """Return the pixels of a PNG in base64 that fills the box from the first point to the second."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            mask = np.asarray(image)
    except (TypeError, ValueError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where}: mask is not a PNG in base64: {error}") from None
    (left, top), (right, bottom) = points.astype(int).tolist()
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(
            f"{where}: mask is {mask.shape}, but its points span {(bottom - top + 1, right - left + 1)} (rows, columns)"
        )
    return mask > 0


def _around(point: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([point - radius, point + radius])

"""CVAT's XML, version 1.1: annotations of images, and tracks of videos."""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from annotations.sizes import declared_size
from files.read_once import read_once
from files.tables import comma_hint
from files.texts import read_xml
from masks.shapes import Patch, Shape
from masks.strokes import ellipse, rectangle, stroke

MOST = 1 << 31  # pixels of a mask
NOT_FLAT = ("cuboid", "skeleton")
KINDS = ("box", "polygon", "polyline", "points", "ellipse", "mask", *NOT_FLAT)


class CvatObject(NamedTuple):
    """An object of an image.

    Attributes:
        kind: element of the file: `box`, `polygon`, `polyline`, `points`, `ellipse`, `mask`, `cuboid`, `skeleton`.
        label: position of its class in the names of the file.
        points: corners `(n, 2)` of a polygon, polyline, box or ellipse, or the points, in pixels.
        patch: pixels of a mask.
        group: number that shapes of one object share, if they have one label; None: an object of its own.
        where: file, image and object, for messages.
    """

    kind: str
    label: int
    points: np.ndarray
    patch: Patch | None
    group: int | None
    where: str

    def shape(self, width: float | None) -> Shape:
        """Return the object as areas; lines and points get a width in pixels.

        Raises:
            ValueError: if it has no area, or is not flat.
        """
        if self.kind in NOT_FLAT:
            raise ValueError(f"{self.where}: a {self.kind} has no mask or box; leave its label out of classes")
        if self.kind in ("polyline", "points"):
            if width is None:
                raise ValueError(
                    f"{self.where} has no area; set width of the target in pixels, or leave its label out of classes"
                )
            parts = [self.points] if self.kind == "polyline" else [point[None] for point in self.points]
            rings = tuple(ring for part in parts for ring in stroke(part, width))
        else:
            rings = () if self.patch is not None else (self.points,)
        return Shape(self.label, rings, () if self.patch is None else (self.patch,), group=self.group)


class CvatFile:
    """The contents of a CVAT file, in drawing order (`z_order`, then the order of the file).

    Attributes:
        path: the file.
        names: class names in the order of the file's labels.
        images: objects of each image, by its name.
        frames: objects of each frame, by its number; None for a file of images.
        gaps: frames that a track skips while it is in sight: the ones before and after, and the track.
        declared: size `(H, W)` of each image by its name; of all frames under `""`.

    Raises:
        ValueError: if it is not a CVAT file, or an object is invalid; names it.
    """

    def __init__(self, path: Path) -> None:
        root = read_xml(path)
        if root.tag != "annotations":
            raise ValueError(f"{path} is not a CVAT file: its root is <{root.tag}>, expected <annotations>")
        self.path = path
        images, tracks = root.findall("image"), root.findall("track")
        if images and tracks:
            raise ValueError(f"{path} has both images and tracks; export it as `CVAT for images 1.1`")
        self.names = self._names(root, [*(item for image in images for item in image), *tracks])
        self._positions = {name: place for place, name in enumerate(self.names)}
        self.images: dict[str, list[CvatObject]] = {}
        self.frames: dict[int, list[CvatObject]] | None = None
        self.gaps: list[tuple[int, int, str]] = []
        self.declared: dict[str, tuple[int, int]] = {}
        if tracks or (not images and root.find("meta//original_size") is not None):
            self._read_tracks(root, tracks)
        else:
            self._read_images(images)

    def __deepcopy__(self, memo: dict) -> "CvatFile":
        return self  # nothing changes it

    def _names(self, root: Element, items: list[Element]) -> list[str]:
        """Return the labels of the task, project or job; those of the objects if the file declares none."""
        declared = [item for item in root.findall("meta//labels/label") if item.findtext("parent") is None]
        names = [item.findtext("name", "").strip() for item in declared]
        return list(dict.fromkeys(names or [item.get("label", "") for item in items if item.tag in (*KINDS, "track")]))

    def _read_images(self, images: list[Element]) -> None:
        names = [image.get("name", "") for image in images]
        if len(set(names)) < len(names):  # a project may have the same name in several subsets
            names = [f"{image.get('subset', '')}/{name}".lstrip("/") for image, name in zip(images, names, strict=True)]
        for image, name in zip(images, names, strict=True):
            if not name or name in self.images:
                raise ValueError(
                    f"{self.path}: " + (f"image {name!r} occurs twice" if name else "an image has no name")
                )
            items = [item for item in image if item.tag in KINDS]
            places = [f"{self.path}, image {name!r}, {item.tag} {number}" for number, item in enumerate(items, 1)]
            found = [self._object(item, item, where) for item, where in zip(items, places, strict=True)]
            self.images[name] = _by_depth(items, found)
            size = declared_size(image.get("height"), image.get("width"))
            if size is not None:
                self.declared[name] = size

    def _read_tracks(self, root: Element, tracks: list[Element]) -> None:
        items: dict[int, list[Element]] = {}
        found: dict[int, list[CvatObject]] = {}
        for track in tracks:
            name, last = f"track {track.get('id', '?')}", None
            for item in (item for item in track if item.tag in KINDS):
                where = f"{self.path}, {name}, frame {item.get('frame')}, {item.tag}"
                if not item.get("frame", "").isdigit():
                    raise ValueError(f"{where}: frame is {item.get('frame')!r}, expected a number from 0")
                frame = int(item.get("frame", ""))
                if last is not None and frame > last + 1:
                    self.gaps.append((last, frame, name))
                last = None if item.get("outside", "0") == "1" else frame
                if last is not None:
                    items.setdefault(frame, []).append(item)
                    found.setdefault(frame, []).append(self._object(item, track, where))
        self.frames = {frame: _by_depth(items[frame], found[frame]) for frame in found}
        size = declared_size(*(root.findtext(f"meta//original_size/{side}") for side in ("height", "width")))
        if size is not None:
            self.declared[""] = size

    def _object(self, item: Element, labelled: Element, where: str) -> CvatObject:
        label = labelled.get("label", "")
        if label not in self._positions:
            few = ", ".join(map(repr, self.names[:12]))
            raise ValueError(f"{where}: label {label!r}, expected one of the file's: {few}")
        points, patch = np.zeros((0, 2)), None
        turn = _numbers(item, ("rotation",), where, "0")
        if item.tag == "mask":
            patch = _mask(item, where)
        elif item.tag == "box":
            points = rectangle(*_numbers(item, ("xtl", "ytl", "xbr", "ybr"), where), *turn)
        elif item.tag == "ellipse":
            points = ellipse(*_numbers(item, ("cx", "cy", "rx", "ry"), where), *turn)
        elif item.tag not in NOT_FLAT:
            points = _points(item, where)
        group = int(_numbers(labelled, ("group_id",), where, "0")[0])
        return CvatObject(item.tag, self._positions[label], points, patch, group or None, where)


@read_once(keep=2)
def read_cvat_file(path: Path) -> CvatFile:
    """Read a CVAT file, or return it as read before if it has not changed: several targets may share it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `CvatFile`.
    """
    return CvatFile(path)


def _by_depth(items: list[Element], found: list[CvatObject]) -> list[CvatObject]:
    """Sort objects by their depth; those of equal depth keep their order."""
    depths = [_numbers(item, ("z_order",), one.where, "0")[0] for item, one in zip(items, found, strict=True)]
    return [found[place] for place in np.argsort(depths, kind="stable")]


def _numbers(item: Element, names: tuple[str, ...], where: str, default: str | None = None) -> list[float]:
    """Return attributes that are finite numbers."""
    numbers = []
    for name in names:
        text = item.get(name, default)
        if text is None:
            raise ValueError(f"{where}: no {name}, only {', '.join(item.keys())}")
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(float("nan"))
        if not np.isfinite(numbers[-1]):
            raise ValueError(f"{where}: {name} is {text!r}, expected a number{comma_hint(text)}")
    return numbers


def _points(item: Element, where: str) -> np.ndarray:
    """Return the points `(n, 2)` of a text `x,y;x,y;…`."""
    text = item.get("points", "")
    try:
        points = np.array([pair.split(",") for pair in text.strip(" ;").split(";")], np.float64)
    except ValueError:
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"{where}: points is {text[:60]!r}, expected x,y;x,y;… in pixels")
    return points


def _mask(item: Element, where: str) -> Patch:
    """Return the pixels of a mask: counts of background and mask in turn, row by row within its box."""
    left, top, width, height = (int(value) for value in _numbers(item, ("left", "top", "width", "height"), where))
    text = item.get("rle", "")
    try:
        counts = np.array([int(count) for count in text.split(",")], np.int64)
    except ValueError:
        raise ValueError(f"{where}: rle is {text[:60]!r}, expected counts of pixels: 3, 5, 7") from None
    if not 0 < width * height < MOST or width < 1 or (counts < 0).any() or counts.sum() != width * height:
        raise ValueError(
            f"{where}: rle has {counts.sum()} pixels, expected {width * height}: width {width} x height {height}"
        )
    return Patch(top, left, np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width))

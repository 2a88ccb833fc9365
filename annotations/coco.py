"""COCO files: images, categories and annotations in columns, read once for all targets."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from annotations.coco_segmentations import compact
from annotations.sizes import declared_size
from files.read_once import read_once
from files.texts import read_json

Id = int | str


class CocoFile:
    """The contents of a COCO file.

    Attributes:
        path: the file.
        files: `file_name` of each image, by its id.
        declared: size `(H, W)` of images, by id, where the file has it.
        names: class names in the order of the category ids, each once.
        keypoints: names of the keypoints of each class that has some, by class name.
        ids: id of each annotation.
        images: image id of each annotation.
        labels: position of its class in `names`, `(N,)`.
        crowd: whether it covers many objects (`iscrowd`), `(N,)` bool.
        bbox: `bbox` of each annotation as in the file, None if it has none.
        segmentation: likewise; polygons of numbers as a tuple of arrays.
        points: likewise, `keypoints`.

    Raises:
        ValueError: if the file is not in COCO format, or an annotation has an unknown image or class; names its id.
    """

    def __init__(self, path: Path) -> None:
        content = read_json(path)
        parts = content if isinstance(content, dict) else {}
        lacking = [name for name in ("images", "categories", "annotations") if not isinstance(parts.get(name), list)]
        if lacking:
            raise ValueError(f"{path} is not a COCO file of objects: it has no list {lacking[0]!r}")
        images = _by_id(parts["images"], "file_name", f"{path}: image")
        kinds = _by_id(parts["categories"], "name", f"{path}: category")
        self.path = path
        self.files = {number: item["file_name"] for number, item in images.items()}
        _refuse_same_names(path, self.files)
        sizes = {number: declared_size(item.get("height"), item.get("width")) for number, item in images.items()}
        self.declared = {number: size for number, size in sizes.items() if size is not None}
        ordered = [kinds[number] for number in sorted(kinds, key=lambda number: (isinstance(number, str), number))]
        self.names = list(dict.fromkeys(item["name"] for item in ordered))
        self.keypoints = {item["name"]: item["keypoints"] for item in ordered if item.get("keypoints")}
        items = parts["annotations"]
        _check_annotations(items, images, kinds, path)
        position = {number: self.names.index(item["name"]) for number, item in kinds.items()}
        self.ids = [item.get("id", f"number {place}") for place, item in enumerate(items)]
        self.images = [item["image_id"] for item in items]
        self.labels = np.array([position[item["category_id"]] for item in items], np.int64)
        self.crowd = np.array([item.get("iscrowd", 0) for item in items], np.int64) == 1
        self.bbox = [item.get("bbox") for item in items]
        self.segmentation = [compact(item.get("segmentation")) for item in items]
        self.points = [item.get("keypoints") for item in items]

    def __deepcopy__(self, memo: dict) -> "CocoFile":
        return self  # nothing changes it, and it may have a million annotations

    def where(self, number: int) -> str:
        """Return file and id of an annotation, for messages."""
        return f"{self.path}, annotation {self.ids[number]!r}"

    def by_image(self, image_of: dict[Id, str]) -> dict[str, list[int]]:
        """Return the positions of the annotations of each image, in the order of the file.

        Args:
            image_of: own name of each image to return, by its id in the file.
        """
        found: dict[str, list[int]] = {image_id: [] for image_id in image_of.values()}
        for place, number in enumerate(self.images):
            if number in image_of:
                found[image_of[number]].append(place)
        return found

    def sizes(self, image_of: dict[Id, str]) -> dict[str, tuple[int, int]]:
        """Return the declared `(H, W)` of images by their own names; `image_of` as of `by_image`."""
        return {image_id: self.declared[number] for number, image_id in image_of.items() if number in self.declared}


@read_once(keep=4)
def read_coco_file(path: Path) -> CocoFile:
    """Read a COCO file, or return it as read before if it has not changed: several targets may share it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `CocoFile`.
    """
    return CocoFile(path)


def _check_annotations(items: list, images: dict[Id, dict], kinds: dict[Id, dict], path: Path) -> None:
    """Raise an error if an annotation has an unknown image or class; there may be a million."""
    try:
        sound = all(
            item["image_id"] in images and item["category_id"] in kinds and item.get("iscrowd", 0) in (0, 1)
            for item in items
        )
    except (KeyError, TypeError, AttributeError):
        sound = False
    for place, item in enumerate([] if sound else items):
        where = f"{path}, annotation {_id_of(item, place)!r}"
        if not isinstance(item, dict):
            raise ValueError(f"{where} is {str(item)[:40]}, expected an object with keys")
        if not _is_id(item.get("image_id")) or item["image_id"] not in images:
            raise ValueError(f"{where}: image_id is {item.get('image_id')!r}, which is not among the file's images")
        if not _is_id(item.get("category_id")) or item["category_id"] not in kinds:
            few = ", ".join(f"{number} {kind['name']}" for number, kind in list(kinds.items())[:12])
            raise ValueError(f"{where}: category_id is {item.get('category_id')!r}, expected one of {few}")
        if item.get("iscrowd", 0) not in (0, 1):
            raise ValueError(f"{where}: iscrowd is {item['iscrowd']!r}, expected 0 or 1")


def _refuse_same_names(path: Path, files: dict[Id, str]) -> None:
    numbers: dict[str, Id] = {}
    for number, name in files.items():
        if name in numbers:
            raise ValueError(f"{path}: images {numbers[name]!r} and {number!r} have the same file_name {name!r}")
        numbers[name] = number


def _by_id(items: Iterable[Any], name: str, what: str) -> dict[Id, dict]:
    found: dict[Id, dict] = {}
    for place, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get(name), str) or not _is_id(item.get("id")):
            raise ValueError(f"{what} number {place} has no id and {name}: {str(item)[:80]}")
        if item["id"] in found:
            raise ValueError(f"{what} {item['id']!r} occurs twice: {found[item['id']][name]!r} and {item[name]!r}")
        found[item["id"]] = item
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _id_of(item: Any, place: int) -> Any:
    return item.get("id", f"number {place}") if isinstance(item, dict) else f"number {place}"

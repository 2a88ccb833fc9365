"""Readers of box files: CSV, Pascal VOC XML, COCO JSON."""

import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from datamodules.matching import match_images, matched
from files.tables import comma_hint, read_csv
from files.texts import read_json, read_xml

OBJECT, CROWD, DIFFICULT = 0, 1, 2  # content of a box: one object, many objects, an object that may be missed
EXIF_ORIENTATION = 0x0112


class BoxRows(NamedTuple):
    """The boxes of all images.

    Attributes:
        ids: image id of each box.
        numbers: `(N, 4)` float64 as written in the files.
        names: class of each box.
        kinds: `(N,)`: `OBJECT`, `CROWD` or `DIFFICULT`.
        where: function that returns file and position of a box, for messages.
        sizes: `(H, W)` declared in the files, by image id.
    """

    ids: Sequence[str]
    numbers: np.ndarray
    names: Sequence[str]
    kinds: np.ndarray
    where: Callable[[int], str]
    sizes: dict[str, tuple[int, int]]


def read_box_csv(
    path: Path,
    table: pd.DataFrame,
    root: Path,
    id_column: str,
    columns: list[str],
    class_column: str | None,
    empty_class: str | None,
    folders: bool,
) -> BoxRows:
    """Read the boxes of a CSV; arguments are those of `Boxes`.

    Raises:
        ValueError: if a column is missing, or a row is not a box; names the row.
    """
    rows = read_csv(path)
    lacking = [name for name in (id_column, *columns, *([class_column] if class_column else [])) if name not in rows]
    if lacking:
        raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
    ids = matched(rows[id_column], table, root, f"{path}, column {id_column}", folders=folders)
    texts = rows[columns]
    empty = texts.isin(["", "nan", "NaN"]).all(axis=1)  # a row without coordinates means that there is no box
    if class_column is not None and empty_class is not None:
        empty |= rows[class_column] == empty_class
    numbers = texts[~empty].apply(pd.to_numeric, errors="coerce")
    wrong = ~np.isfinite(numbers.to_numpy(float)).all(axis=1)
    if wrong.any():
        row = numbers.index[wrong][0]
        given = texts.loc[row].tolist()
        hint = next(filter(None, map(comma_hint, given)), "")
        raise ValueError(f"{path}, row {row + 2}: box {given}, expected four numbers{hint}")
    kept = (~empty & ids.notna()).to_numpy()
    numbers = numbers[kept[~empty.to_numpy()]]
    names = rows[class_column][kept].tolist() if class_column else [""] * len(numbers)
    places = numbers.index.tolist()
    kinds = np.zeros(len(numbers), np.int64)
    return BoxRows(
        ids[kept].tolist(), numbers.to_numpy(float), names, kinds, lambda n: f"{path}, row {places[n] + 2}", {}
    )


def read_voc(paths: dict[str, Path]) -> BoxRows:
    """Read the boxes of Pascal VOC files; `difficult` ones may be missed.

    Args:
        paths: file of each image.

    Raises:
        FileNotFoundError: if images have no file; names the first.
        ValueError: if a file is not in VOC format, or an object is not a box; names both.
    """
    missing = [(image_id, path) for image_id, path in paths.items() if not path.is_file()]
    if missing:
        first, files = missing[0][0], ", ".join(str(path) for _, path in missing[:3])
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} images have no boxes; the first is {first!r}: no {files}"
        )
    ids, numbers, names, kinds, places, sizes = [], [], [], [], [], {}
    for image_id, path in paths.items():
        root = read_xml(path)
        if root.tag != "annotation":
            raise ValueError(f"{path} is not a Pascal VOC file: its root is <{root.tag}>, expected <annotation>")
        size = [_whole(root.findtext(f"size/{side}")) for side in ("height", "width")]
        if all(size):  # some tools omit it, or write 0
            sizes[image_id] = size[0], size[1]
        for number, item in enumerate(root.findall("object"), 1):
            places.append(f"{path}, object {number}")
            numbers.append(_voc_box(item, places[-1]))
            ids.append(image_id)
            names.append(item.findtext("name", "").strip())
            difficult = item.findtext("difficult", "0").strip() or "0"
            if difficult not in ("0", "1"):
                raise ValueError(f"{places[-1]}: difficult is {difficult!r}, expected 0 or 1")
            kinds.append(DIFFICULT if difficult == "1" else OBJECT)
    return BoxRows(ids, _four(numbers), names, np.array(kinds, np.int64), places.__getitem__, sizes)


def _voc_box(item: ElementTree.Element, where: str) -> list[float]:
    texts = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in texts:
        raise ValueError(f"{where}: no bndbox with xmin, ymin, xmax and ymax")
    return _floats([text.strip() for text in texts], where)


def read_coco(path: Path, table: pd.DataFrame, root: Path, folders: bool) -> BoxRows:
    """Read the boxes of a COCO file; those with `iscrowd` contain many objects.

    Args:
        path: COCO file.
        table: table of images.
        root: folder of the competition's files.
        folders: whether folders of file names are compared with those of images.

    Raises:
        ValueError: if the file is not in COCO format, or an annotation has no box, or an unknown image or class; names
            its id.

    Warns:
        UserWarning: if images are not listed in the file.
    """
    content = read_json(path)
    parts = content if isinstance(content, dict) else {}
    lacking = [name for name in ("images", "categories", "annotations") if not isinstance(parts.get(name), list)]
    if lacking:
        raise ValueError(f"{path} is not a COCO file of boxes: it has no list {lacking[0]!r}")
    files = _by_id(parts["images"], "file_name", f"{path}: image")
    kinds = _by_id(parts["categories"], "name", f"{path}: category")
    names = [item["file_name"] for item in files.values()]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        first, second = [number for number, item in files.items() if item["file_name"] == twice][:2]
        raise ValueError(f"{path}: images {first!r} and {second!r} have the same file_name {twice!r}")
    meant = match_images(names, table, root, f"{path}, file_name", folders=folders)
    unlisted = sorted(set(table["image_id"]) - set(meant.values()))
    if unlisted and len(meant) == len(names):  # else `match_images` warns
        few = ", ".join(map(repr, unlisted[:3]))
        warnings.warn(
            f"{path}: {len(unlisted)} of {len(table)} images are not in its list (first: {few}); they are treated as "
            "images without boxes",
            stacklevel=4,
        )
    image_of = {number: meant[item["file_name"]] for number, item in files.items() if item["file_name"] in meant}
    sizes = {}
    for number, image_id in image_of.items():
        size = [_whole(files[number].get(side)) for side in ("height", "width")]
        if all(size):
            sizes[image_id] = size[0], size[1]
    images, numbers, names, kind = _annotations(parts["annotations"], files, kinds, path)
    kept = np.array([number in image_of for number in images], bool)
    places = np.flatnonzero(kept)
    return BoxRows(
        [image_of[number] for number in images if number in image_of],
        numbers[kept],
        [name for name, own in zip(names, kept, strict=True) if own],
        kind[kept],
        lambda n: f"{path}, annotation {_id_of(parts['annotations'][places[n]], places[n])!r}",
        sizes,
    )


def _annotations(
    items: list, files: dict[Any, dict], kinds: dict[Any, dict], path: Path
) -> tuple[list, np.ndarray, list[str], np.ndarray]:
    """Return image, box `(N, 4)`, class and kind `(N,)` of each annotation; there may be a million."""
    try:
        images = [item["image_id"] for item in items]
        names = [kinds[item["category_id"]]["name"] for item in items]
        crowd = np.array([item.get("iscrowd", 0) for item in items], np.float64)
        numbers = np.array([item["bbox"] for item in items], np.float64).reshape(-1, 4)
        sound = all(number in files for number in images) and len(numbers) == len(items)
        sound = sound and np.isfinite(numbers).all() and np.isin(crowd, (0, 1)).all()
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        for place, item in enumerate(items):
            _refuse_annotation(item, f"{path}, annotation {_id_of(item, place)!r}", files, kinds)
        raise ValueError(f"{path} is not a COCO file of boxes: its annotations have different types")
    return images, numbers, names, np.where(crowd == 1, CROWD, OBJECT)


def _by_id(items: list, name: str, what: str) -> dict[Any, dict]:
    found: dict[Any, dict] = {}
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


def _refuse_annotation(item: Any, where: str, files: dict, kinds: dict) -> None:
    """Raise an error if an annotation is invalid."""
    if not isinstance(item, dict):
        raise ValueError(f"{where} is {str(item)[:40]}, expected an object with keys")
    if not _is_id(item.get("image_id")) or item["image_id"] not in files:
        raise ValueError(f"{where}: image_id is {item.get('image_id')!r}, which is not among the file's images")
    if not _is_id(item.get("category_id")) or item["category_id"] not in kinds:
        few = ", ".join(f"{number} {kind['name']}" for number, kind in list(kinds.items())[:12])
        raise ValueError(f"{where}: category_id is {item.get('category_id')!r}, expected one of {few}")
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"{where}: bbox is {box!r}, expected [x, y, width, height]")
    _floats(box, where)
    if item.get("iscrowd", 0) not in (0, 1):
        raise ValueError(f"{where}: iscrowd is {item['iscrowd']!r}, expected 0 or 1")


def _floats(values: list, where: str) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = [float("nan")]
    if not np.isfinite(numbers).all():
        hint = next(filter(None, (comma_hint(str(value)) for value in values)), "")
        raise ValueError(f"{where}: box {values}, expected four numbers{hint}")
    return numbers


def _four(boxes: list[list[float]]) -> np.ndarray:
    return np.array(boxes, np.float64).reshape(-1, 4)


def _whole(value: Any) -> int:
    """Return a declared side in pixels, 0 if missing."""
    try:
        return int(float(value or 0))
    except (TypeError, ValueError):
        return 0


def size_fault(declared: tuple[int, int], size: tuple[int, ...], path: Path | str | None) -> str:
    """Return an error text for an image of `size` (H, W) that differs from the size in the file of boxes."""
    text = f"is declared {declared[1]} x {declared[0]} (width x height), but is {size[1]} x {size[0]}"
    if tuple(declared) != tuple(size[::-1]):
        return f"{text}; the boxes belong to an image of another size: scale them, or use the images they belong to"
    turned = _orientation(path)
    if turned >= 5:
        return (
            f"{text}: its EXIF orientation {turned} rotates it, but not the boxes; save the images upright and without "
            "that tag, and rotate the boxes with them"
        )
    return f"{text}: width and height are swapped; was it rotated after its boxes were drawn?"


def _orientation(path: Path | str | None) -> int:
    """Return the EXIF orientation of a file; 1 if it has none."""
    try:
        with Image.open(path) as image:
            return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except (OSError, ValueError, AttributeError, TypeError):
        return 1

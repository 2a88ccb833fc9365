"""Readers of box files: CSV, Pascal VOC XML, COCO JSON."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from annotations.coco import CocoFile, read_coco_file
from annotations.sizes import declared_size
from datamodules.matching import matched
from datamodules.row import Row
from datamodules.targets.coco_images import image_ids
from files.tables import comma_hint, read_csv
from files.texts import read_xml

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
        ValueError: if a file is not in VOC format, or an object is not a box; names both.
    """
    ids, numbers, names, kinds, places, sizes = [], [], [], [], [], {}
    for image_id, path in paths.items():
        root = read_xml(path)
        if root.tag != "annotation":
            raise ValueError(f"{path} is not a Pascal VOC file: its root is <{root.tag}>, expected <annotation>")
        size = declared_size(root.findtext("size/height"), root.findtext("size/width"))
        if size is not None:
            sizes[image_id] = size
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
    coco = read_coco_file(path)
    image_of = image_ids(coco, table, root, folders, "boxes")
    boxes = _coco_boxes(coco)
    kept = [place for place, number in enumerate(coco.images) if number in image_of]
    return BoxRows(
        [image_of[coco.images[place]] for place in kept],
        boxes[kept],
        [coco.names[label] for label in coco.labels[kept]],
        np.where(coco.crowd[kept], CROWD, OBJECT),
        lambda n: coco.where(kept[n]),
        coco.sizes(image_of),
    )


def _coco_boxes(coco: CocoFile) -> np.ndarray:
    """Return the box of each annotation `(N, 4)`; there may be a million."""
    try:
        boxes = np.array(coco.bbox, np.float64).reshape(-1, 4)
        if len(boxes) == len(coco.bbox) and np.isfinite(boxes).all():
            return boxes
    except (TypeError, ValueError):
        pass
    for number, box in enumerate(coco.bbox):
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f"{coco.where(number)}: bbox is {box!r}, expected [x, y, width, height]")
        _floats(box, coco.where(number))
    raise ValueError(f"{coco.path} is not a COCO file of boxes: its boxes have different types")


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


def check_size(declared: tuple[int, int] | None, size: tuple[int, ...], row: Row, file: Path) -> None:
    """Compare the size `(H, W)` of an image with the one in the file of its objects, None if it has none.

    Raises:
        ValueError: if they differ.
    """
    if declared is not None and declared != tuple(size):
        path = getattr(row, "path", None)
        what = f"image {row.image_id!r}" + (f" ({path})" if path is not None else "")
        raise ValueError(f"{file}: {what} {size_fault(declared, size, path)}")


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

"""Files of YOLO data sets: class names, and a text of boxes or polygons per image."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from files.tables import comma_hint
from files.texts import read_text, read_yaml

SLACK = 0.01  # by how much a coordinate may leave 0..1, as in Ultralytics' check
BOX = 4  # numbers of a box: x and y of its centre, width, height
POLYGON = 6  # numbers of three corners


class YoloNames(NamedTuple):
    """The classes of a data set.

    Attributes:
        path: the file.
        names: class names in the order of their numbers.
        positions: position in `names` of each number in label files.
        keypoints: numbers of the keypoints after each box; 0 if the data set has none.
    """

    path: Path
    names: list[str]
    positions: dict[int, int]
    keypoints: int = 0


def read_names(path: Path) -> YoloNames:
    """Read the class names of a `data.yaml`, or of a text with a name per line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if there are no names, or fewer or more than `nc`.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        names = [line.strip() for line in read_text(path).splitlines()]
        return _unique(path, {number: name for number, name in enumerate(names) if name}, 0)
    content = read_yaml(path)
    found = content.get("names") if isinstance(content, dict) else None
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} has no class names; expected `names: [car, tree]` or `names: {{0: car, 1: tree}}`")
    odd = next((number for number in found if not str(number).isascii() or not str(number).isdigit()), None)
    if odd is not None:
        raise ValueError(f"{path}: names has the key {odd!r}, expected class numbers from 0")
    count = content.get("nc", len(found))
    if count != len(found):
        raise ValueError(f"{path}: nc is {count}, but there are {len(found)} names; correct one of them")
    shape = content.get("kpt_shape")
    if shape is not None and not (isinstance(shape, list) and all(isinstance(side, int) for side in shape)):
        raise ValueError(f"{path}: kpt_shape is {shape!r}, expected [number of keypoints, 2 or 3]")
    return _unique(path, {int(number): str(found[number]) for number in found}, int(np.prod(shape)) if shape else 0)


def _unique(path: Path, names: dict[int, str], keypoints: int) -> YoloNames:
    ordered = [names[number] for number in sorted(names)]
    twice = next((name for name in ordered if ordered.count(name) > 1), None)
    if twice is not None or not ordered:
        what = "no class names" if twice is None else f"the class name {twice!r} twice"
        raise ValueError(f"{path} has {what}, expected one name per class")
    return YoloNames(path, ordered, {number: place for place, number in enumerate(sorted(names))}, keypoints)


def read_labels(path: Path, names: YoloNames) -> list[tuple[int, np.ndarray]]:
    """Read a label file: for each object, the position of its class, and a box `(4,)` or the corners `(n, 2)`.

    A box is x and y of its centre, width and height. All numbers are relative to the image size.

    Raises:
        ValueError: if a line is neither a box nor a polygon; names it.
    """
    objects = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        words = text.split()
        if words:
            objects.append(_object(words, names, f"{path}, line {line}"))
    return objects


def _object(words: list[str], names: YoloNames, where: str) -> tuple[int, np.ndarray]:
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        hint = next(filter(None, map(comma_hint, words)), "")
        raise ValueError(f"{where}: {' '.join(words)[:60]!r}, expected numbers{hint}") from None
    place = names.positions.get(int(numbers[0]) if numbers[0] == np.rint(numbers[0]) else -1)
    if place is None:
        few = ", ".join(f"{number} {names.names[at]}" for number, at in list(names.positions.items())[:12])
        raise ValueError(f"{where}: class {words[0]}, expected one of {names.path.name}: {few}")
    values = numbers[1:]
    if names.keypoints:
        if len(values) != BOX + names.keypoints:
            raise ValueError(
                f"{where}: {len(numbers)} numbers, expected {1 + BOX + names.keypoints}: class, box and "
                f"{names.keypoints} numbers of keypoints (kpt_shape of {names.path.name})"
            )
        values = values[:BOX]
    if len(values) != BOX and (len(values) < POLYGON or len(values) % 2):
        hint = "; is the last one a confidence? A file of predictions has no labels" if len(values) == BOX + 1 else ""
        raise ValueError(
            f"{where}: {len(numbers)} numbers, expected a class and x, y, width, height of a box, or a class and the "
            f"x, y, x, y, … of three corners or more{hint}"
        )
    odd = ~((values >= -SLACK) & (values <= 1 + SLACK))
    if odd.any():
        raise ValueError(
            f"{where}: {words[1 + int(odd.argmax())]}, expected 0 to 1, relative to the width and height of the image; "
            "pixels must be divided by them"
        )
    return place, values if len(values) == BOX else values.reshape(-1, 2)

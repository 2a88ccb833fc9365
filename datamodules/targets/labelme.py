"""Objects and flags from the JSON files of labelme."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from annotations.labelme import read_labelme_file
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from datamodules.targets.boxes_files import check_size
from datamodules.targets.objects import Objects, Output
from datamodules.targets.patterns import every_file, located, sought, tell_missing
from masks.shapes import Shape

BACKGROUND = "_background_"  # in labelme's lists of labels


class LabelMe(Objects):
    """`mask`, `instances` or boxes from files of labelme: a JSON per image.

    Polygons, rectangles, circles and masks become the pixels of `labelme.utils.shapes_to_label`, outline included, and
    so do lines and points with `width: 10`. Where objects overlap, the later one wins, except between `channels`.
    Shapes of one label and `group_id` are one object of `instances` and `boxes`. The box of a shape spans its
    points.

    Image sizes declared in the files must match the images. Images embedded in the files are not read.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `images/{image_id}.json`. An image without a file has no objects, unless `required`.
        output: `classes`: class numbers `(H, W)` int64, 0 for background; `channels`: a mask per class `(K, H, W)`
            uint8; `instances`: ids `(H, W)` int32; `boxes`: `boxes` `(n, 4)` float32 xyxy and `labels` `(n,)`.
        classes: labels to use, in the order of their numbers, without the background; other shapes are left out
            (default: all labels of the files that match the pattern, sorted).
        unlabelled: for `classes`, pixels without an object: `background` is class 0; `void` ignores them, and the first
            label is class 0.
        width: width of lines and diameter of points, in pixels; None if there are none.
        void: labels, and flags of shapes, whose pixels are ignored where no other object is.
        required: whether an image without a file is an error.
        name: name of the array (default: `instances` for ids, else `mask`).

    Raises:
        ValueError: if a file is not one of labelme, or a shape is invalid; names file and shape.
        FileNotFoundError: if no image has a file, or one has none and it is `required`.

    Example:
        >>> import json, pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> shape = {"label": "car", "points": [[1, 0], [2, 1]], "shape_type": "rectangle"}
        >>> target, row = LabelMe("{image_id}.json", output="classes"), SimpleNamespace(image_id="a")
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.png"}))
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        ...     found = target.read(row, (2, 4))
        >>> found["mask"].tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """

    def __init__(
        self,
        pattern: str,
        output: Output,
        classes: list[str] | None = None,
        unlabelled: Literal["background", "void"] = "background",
        width: int | None = None,
        void: Sequence[str] = ("__ignore__",),
        required: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(output, classes, unlabelled, name)
        if width is not None and width < 1:
            raise ValueError(f"LabelMe: width is {width}, expected pixels above 0")
        self.pattern, self.width, self.void, self.required = pattern, width, list(void), required
        self._paths: dict[str, Path] = {}
        self._used: dict[str, int] = {}  # place in `file_classes` of the labels in use

    def where(self) -> str:
        return self.pattern

    def file_classes(self, root: Path) -> list[str]:
        """Return `classes`, then the other labels of all files that match the pattern, sorted."""
        files = every_file(root, self.pattern)
        known = {shape.label for path in files for shape in read_labelme_file(path).shapes} - {*self.void, BACKGROUND}
        first = list(self.classes or [])
        return [*first, *sorted(known - set(first))]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._used = {name: place for place, name in enumerate(self._known) if self._label_of[place] >= 0}
        self._paths = located(self.root, self.pattern, table, what="shapes")
        place, cure = partial(sought, self.root, self.pattern, table), "Check the target's pattern"
        tell_missing(table, self._paths, "labelme file", place, cure, self.required)
        present = {shape.label for path in self._paths.values() for shape in read_labelme_file(path).shapes}
        absent = [name for name in self.classes or [] if name not in present]
        if absent:
            few = ", ".join(map(repr, sorted(present)[:20])) or "none"
            text = f"{self.pattern}: no shape of {len(table)} images has the label {', '.join(map(repr, absent))}"
            text += f", only {few}; check the target's classes, or data.classes"
            if len(absent) == len(self.classes):
                raise ValueError(text)
            warnings.warn(text, stacklevel=2)

    def files(self, row: Row) -> list[Path]:
        return [self._paths[row.image_id]] if row.image_id in self._paths else []

    def objects(self, row: Row, size: tuple[int, ...]) -> list[Shape]:
        path = self._paths.get(row.image_id)
        if path is None:
            return []
        content, found = read_labelme_file(path), []
        check_size(content.size, size, row, path)
        for shape in content.shapes:
            void = shape.label in self.void or bool(shape.flags & set(self.void))
            # The pixels of void objects have no class, so any one in use will do.
            label = next(iter(self._used.values()), None) if void else self._used.get(shape.label)
            if label is None or (void and self.boxes):
                continue
            if self.boxes:
                found.append(Shape(label, box=shape.box(self.width), group=shape.group))
            else:
                found.append(Shape(label, (), shape.patches((size[0], size[1]), self.width), None, void, shape.group))
        return found


class LabelMeFlags(FilePerImage):
    """`label` float32 `(K,)` of 0 and 1 from the flags of an image in its labelme file; a missing flag is 0.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`.
        classes: names of the flags in the order of the network's outputs (default: `data.classes`, else all flags of
            the files that match the pattern, sorted).
        name: name of the array.

    Raises:
        ValueError: if a file is not one of labelme; names it.
        FileNotFoundError: if images have no file.

    Example:
        >>> import json, pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> target, row = LabelMeFlags("{image_id}.json", classes=["cat", "dog"]), SimpleNamespace(image_id="a")
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.json").write_text(json.dumps({"shapes": [], "flags": {"cat": False, "dog": True}}))
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        ...     found = target.read(row, (2, 4))
        >>> found["label"].tolist()
        [0.0, 1.0]
    """

    what = "labelme file"

    def __init__(self, pattern: str, classes: list[str] | None = None, name: str = "label") -> None:
        self.pattern, self.classes, self.name = pattern, classes, name

    def adopts_classes(self, count: int) -> bool:
        return True

    def class_names(self, root: Path) -> list[str] | None:
        return self.classes if self.classes is not None else self._flags(root)

    def _flags(self, root: Path) -> list[str]:
        found = {name for path in every_file(root, self.pattern) for name in read_labelme_file(path).flags}
        return sorted(found)

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        known = self._flags(root)
        absent = [name for name in self.classes or [] if name not in known]
        if absent or not known:
            raise ValueError(
                f"{self.pattern}: no file has the flag {', '.join(map(repr, absent)) or '(any)'}, only "
                f"{', '.join(map(repr, known)) or 'none'}; check the target's classes, or data.classes"
            )
        self._known = self.classes if self.classes is not None else known

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        flags = read_labelme_file(self.path(row.image_id)).flags
        return {self.name: np.array([flags.get(name, False) for name in self._known], np.float32)}

"""The base class of targets of annotated objects: class numbers, masks, ids or boxes from one file."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.row import Row
from datamodules.targets.base import Target
from datamodules.targets.boxes import IGNORED, cut_boxes
from masks.shapes import Shape, bounds, drawn, object_numbers
from masks.void import VOID

Output = Literal["classes", "channels", "instances", "boxes"]
BACKGROUND = "background"


class Objects(Target, ABC):
    """Base class of targets that read objects with a class: polygons, run lengths, boxes.

    A subclass reads its file in `prepare` and gives the objects of an image. The array is one of

    - `classes`: class numbers `(H, W)` int64, 0 where no object is, then 1, 2, … in the order of the classes;
    - `channels`: a mask per class `(K, H, W)` uint8; objects of different classes may overlap;
    - `instances`: ids `(H, W)` int32, 1, 2, … in the order of the file;
    - `boxes`: `boxes` `(n, 4)` float32 xyxy in pixels with the far side excluded, and `labels` `(n,)` int64 from 0.

    Where objects overlap in one map, the later one wins. Pixels of void objects that no other object covers are void;
    void boxes are those of crowds (`datamodules.targets.Boxes`).

    Args:
        output: array to return.
        classes: names of the classes to use, in the order of their numbers, without the background; other objects are
            left out (default: those of `data.classes`, whose first is the background for `output: classes`;
            else all, in the order of the file).
        unlabelled: for `classes`, pixels without an object: `background` is class 0; `void` ignores them, and the first
            class is 0.
        name: name of the array (default: `instances` for ids, else `mask`).
    """

    ignores: bool = False  # whether the file has void objects, so that each image has arrays of ignored boxes

    def __init__(
        self,
        output: Output,
        classes: list[str] | None = None,
        unlabelled: Literal["background", "void"] = "background",
        name: str | None = None,
    ) -> None:
        self.output, self.classes, self.unlabelled = output, classes, unlabelled
        self.name = name or ("instances" if output == "instances" else "mask")
        self.boxes = output == "boxes"
        self._known: list[str] = []  # class names of the file
        self._label_of = np.zeros(0, np.int64)  # class number of each class of the file; -1 if left out

    @abstractmethod
    def file_classes(self, root: Path) -> list[str]:
        """Return the class names of the file, in the order of their ids.

        Args:
            root: `data.root`; may be called before `prepare`.
        """

    @abstractmethod
    def objects(self, row: Row, size: tuple[int, ...]) -> list[Shape]:
        """Return the objects of an image in drawing order; their labels are positions in `file_classes`.

        Args:
            row: row without a window.
            size: size of its image.
        """

    @property
    def with_background(self) -> bool:
        """Whether class 0 is the background."""
        return self.output == "classes" and self.unlabelled == "background"

    def take_classes(self, names: list[str] | None) -> None:
        """Use the class names of `data.classes`; for class numbers, the first is that of the background.

        Raises:
            ValueError: if the target's own classes differ.
        """
        if names is None or self.output == "instances":
            return  # ids have no class
        own = names[1:] if self.with_background else names
        if self.classes is not None and self.classes != own:
            background = " after the background" if self.with_background else ""
            raise ValueError(
                f"{type(self).__name__}: classes is {self.classes}, but data.classes has {own}{background}; remove "
                "classes of the target, or make them equal"
            )
        self._names, self.classes = names, own

    def class_names(self, root: Path) -> list[str] | None:
        if self.output == "instances":
            return None
        if self._names is not None:
            return self._names
        names = self.classes if self.classes is not None else self.file_classes(root)
        return [BACKGROUND, *names] if self.with_background else list(names)

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._known = self.file_classes(root)
        self._label_of = self._numbers(self._known)

    def _numbers(self, known: list[str]) -> np.ndarray:
        """Return the class number of each class of the file, without the background; -1 for those left out."""
        if self.with_background and self._names is not None and self._names[0] in known:
            raise ValueError(
                f"data.classes begins with {self._names[0]!r}, a class of {self.where()}; class 0 is the "
                f"background, so its name comes first: [{BACKGROUND}, {', '.join(self._names)}]"
            )
        wanted = known if self.classes is None else self.classes
        unknown = next((name for name in wanted if name not in known), None)
        if unknown is not None:
            few = ", ".join(map(repr, known[:20])) + (", …" if len(known) > 20 else "")
            key = "target.classes" if self._names is None else "data.classes"
            raise ValueError(f"{self.where()} has no class {unknown!r}, only {few or 'none'}; set {key}")
        if self.output == "classes" and len(wanted) + self.with_background > VOID:
            raise ValueError(
                f"{self.where()} has {len(wanted)} classes, but class number {VOID} means void; list fewer in "
                "target.classes, or set output: channels"
            )
        number_of = {name: number for number, name in enumerate(wanted)}
        return np.array([number_of.get(name, -1) for name in known], np.int64)

    @abstractmethod
    def where(self) -> str:
        """Return the file or files of the target, for messages."""

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        self.objects(row, size)

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return self.read_window(row, size, (0, 0, *size))

    def read_window(self, row: Row, size: tuple[int, ...], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        shapes = [shape._replace(label=int(self._label_of[shape.label])) for shape in self.objects(row, size)]
        kept = [shape for shape in shapes if shape.label >= 0]
        if self.boxes:
            return self._boxes(kept, window)
        own, void = [shape for shape in kept if not shape.void], [shape for shape in kept if shape.void]
        if self.output == "channels":
            array = np.zeros((int(self._label_of.max(initial=-1)) + 1, *window[2:]), np.uint8)
            for label in {shape.label for shape in own}:
                array[label] = drawn([shape for shape in own if shape.label == label], window) > 0
            covered: np.ndarray = np.any(array, axis=0)
        else:
            found = drawn(own, window)
            covered, array = found > 0, np.array([0, *object_numbers(own)], np.int32)[found]
            if self.output == "classes":
                nothing = 0 if self.with_background else VOID
                numbers = [shape.label + self.with_background for shape in own]
                array = np.array([nothing, *numbers], np.int64)[found]
        if self.output == "classes" and self.unlabelled == "void":
            valid = covered
        else:
            valid = covered | (drawn(void, window) == 0)
        return {self.name: array} if valid.all() else {self.name: array, "valid": valid}

    def _boxes(self, shapes: Sequence[Shape], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return boxes and labels of the objects in a window; those without extent are left out."""
        whole: dict[int, tuple[np.ndarray, Shape]] = {}  # a box around all shapes of an object
        for number, shape in zip(object_numbers(shapes), shapes, strict=True):
            box = bounds(shape)
            if box is not None and number in whole:
                other, _ = whole[number]
                box = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
            if box is not None:
                whole[number] = box, shape
        found = [(box, shape) for box, shape in whole.values() if (box[2:] > box[:2]).all()]
        corners = np.array([box for box, _ in found], np.float64).reshape(-1, 4)
        boxes, seen = cut_boxes(corners, window)
        labels = np.array([shape.label for _, shape in found], np.int64)[seen]
        void = np.array([shape.void for _, shape in found], bool)[seen]
        arrays = {"boxes": boxes[~void], "labels": labels[~void]}
        if self.ignores:
            arrays |= dict(zip(IGNORED, (boxes[void], labels[void], np.ones(void.sum(), bool)), strict=True))
        return arrays

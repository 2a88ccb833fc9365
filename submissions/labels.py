"""One row per image with a list of labels."""

import numpy as np

from submissions.base import Submission, require_array


class Labels(Submission):
    """`Id,Predicted` with a list of labels per image: Human Protein Atlas 2018, Planet.

    An image without labels is written as `empty`; `LabelThreshold(best: true)` gives it the most probable one, so that
    the metric sees what is submitted.

    Args:
        classes: class names in the order of the network outputs; a number K means 0 … K - 1
            (default: the class names of the data).
        id_column: name of the id column: `Id`, in Planet `image_name`.
        value_column: name of the label column: `Predicted`, in Planet `tags`.
        separator: separator of labels.
        empty: text for an image without labels.
        suffix: suffix of ids in the file that image ids lack.
        output: name of the labels, bool `(K,)`, in the post-processed prediction.
    """

    spatial = False

    def __init__(
        self,
        classes: int | list[str] | None = None,
        id_column: str = "Id",
        value_column: str = "Predicted",
        separator: str = " ",
        empty: str = "",
        suffix: str = "",
        output: str = "label",
    ) -> None:
        self.columns = (id_column, value_column)
        self.classes, self.separator, self.empty = classes, separator, empty
        self.suffix, self.output = suffix, output
        self._check_separator()

    def take_classes(self, names: list[str] | None) -> None:
        super().take_classes(names)
        self._check_separator()

    def _check_separator(self) -> None:
        inside = next((name for name in class_names(self.classes or 0) if self.separator in name), None)
        if not self.separator or inside is not None:
            raise ValueError(
                f"Labels: separator is {self.separator!r}, but class {inside!r} contains it; choose another"
            )

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        flags, names = label_flags(prediction, self.output), class_names(self.classes)
        if len(flags) != len(names):
            raise ValueError(f"{self.output!r} has {len(flags)} labels, expected {len(names)}, one per class")
        text = self.separator.join(name for name, has in zip(names, flags, strict=True) if has)
        return [(image_id + self.suffix, text or self.empty)]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        names = class_names(self.classes)
        flags = np.zeros(len(names), bool)
        text = texts[0][1].strip()
        parts = [part.strip() for part in text.split(self.separator)] if text not in ("", self.empty.strip()) else []
        for part in parts:
            number = class_place(part, names)
            if flags[number]:
                raise ValueError(f"label {part!r} is repeated in {text!r}")
            flags[number] = True
        return {self.output: flags}


def class_names(classes: int | list[str]) -> list[str]:
    """Class names; a number K gives 0 … K - 1 as text."""
    return [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)


def class_place(name: str, names: list[str]) -> int:
    """Number of a class, or an error that lists the classes."""
    if name not in names:
        listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise ValueError(f"class {name!r} is unknown, expected one of {listed}")
    return names.index(name)


def label_flags(prediction: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Labels of an image, bool `(K,)`."""
    array = require_array(prediction, name)
    if array.dtype != bool or array.ndim != 1:
        raise ValueError(
            f"{name!r} is {array.dtype} {array.shape}, expected bool (K,): add postprocessing.LabelThreshold"
        )
    return array

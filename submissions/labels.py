"""One row per image: the list of its labels."""

import numpy as np

from submissions.base import Submission, named


class Labels(Submission):
    """`Id,Predicted` with a list of labels an image: Human Protein Atlas 2018, Planet.

    An image without any label is written as `empty`; `LabelThreshold(best: true)` gives it the most probable one, and
    so the metric sees what is submitted.

    Args:
        classes: names of the classes in the order of the network's outputs; a number K means the numbers 0 … K - 1.
        id_column: name of the id column: `Id`, in Planet `image_name`.
        value_column: name of the label column: `Predicted`, in Planet `tags`.
        separator: between two labels.
        empty: what an image without labels is written as.
        suffix: ending of the ids in the file that the images' ids lack.
        output: name of the labels, bool `(K,)`, in the post-processed prediction.
    """

    spatial = False

    def __init__(
        self,
        classes: int | list[str],
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
        inside = next((name for name in class_names(classes) if separator in name), None)
        if not separator or inside is not None:
            raise ValueError(f"Labels: the separator {separator!r} cannot divide the classes, as in {inside!r}")

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        flags, names = label_flags(prediction, self.output), class_names(self.classes)
        if len(flags) != len(names):
            raise ValueError(f"{self.output!r} has {len(flags)} labels for {len(names)} classes")
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
                raise ValueError(f"the label {part!r} comes twice in {text!r}")
            flags[number] = True
        return {self.output: flags}


def class_names(classes: int | list[str]) -> list[str]:
    """Names of the classes; of a number K the numbers 0 … K - 1 as text."""
    return [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)


def class_place(name: str, names: list[str]) -> int:
    """Number of a class, or an error that lists what there is."""
    if name not in names:
        listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise ValueError(f"the class {name!r} is unknown, expected one of {listed}")
    return names.index(name)


def label_flags(prediction: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Labels of an image, bool `(K,)`."""
    array = named(prediction, name)
    if array.dtype != bool or array.ndim != 1:
        raise ValueError(
            f"{name!r} is {array.dtype} {array.shape}, a submission wants bool (K,): add postprocessing.LabelThreshold"
        )
    return array

"""One row per image with its grade or class."""

import numpy as np

from submissions.base import Submission, require_array
from submissions.labels import class_names, class_place, label_flags


class Ordinal(Submission):
    """`id_code,diagnosis` with a grade per image: APTOS 2019; with class names, a class per image.

    Args:
        classes: number of grades, or class names in order.
        id_column: name of the id column.
        value_column: name of the grade column.
        suffix: suffix of ids in the file that image ids lack.
        output: name of the grade in the post-processed prediction: a number `()` (`ArgMax`), or cumulative flags "above
            grade k", bool `(K - 1,)` (`LabelThreshold`), which are summed.
    """

    spatial = False

    def __init__(
        self,
        classes: int | list[str] = 5,
        id_column: str = "id_code",
        value_column: str = "diagnosis",
        suffix: str = "",
        output: str = "label",
    ) -> None:
        self.columns = (id_column, value_column)
        self.classes, self.suffix, self.output = classes, suffix, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        array, names = require_array(prediction, self.output), class_names(self.classes)
        if array.size == 1 and array.dtype.kind in "iu":
            number = int(array.reshape(-1)[0])
        elif array.shape == (len(names) - 1,):
            number = int(label_flags(prediction, self.output).sum())
        else:
            raise ValueError(
                f"{self.output!r} is {array.dtype} {array.shape}, expected a number () or cumulative grade flags, bool "
                f"({len(names) - 1},): add postprocessing.ArgMax or postprocessing.LabelThreshold"
            )
        if not 0 <= number < len(names):
            raise ValueError(f"{self.output!r} is {number}, expected 0 to {len(names) - 1}")
        return [(image_id + self.suffix, names[number])]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {self.output: np.array(class_place(texts[0][1].strip(), class_names(self.classes)), np.int64)}

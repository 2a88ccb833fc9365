"""One probability row per image and class."""

import numpy as np

from files.tables import comma_hint
from submissions.base import RowError, Submission, require_array
from submissions.labels import class_place


class ClassRows(Submission):
    """`ID,Label` with `<image>_<class>` and its probability: RSNA Intracranial Hemorrhage.

    Args:
        classes: class names in the order of the network outputs (default: the class names of the data).
        id_column: name of the id column.
        value_column: name of the probability column.
        separator: separator of image and class in the id.
        output: name of the probabilities, float `(K,)`, in the prediction.
    """

    spatial = False

    def __init__(
        self,
        classes: list[str] | None = None,
        id_column: str = "ID",
        value_column: str = "Label",
        separator: str = "_",
        output: str = "label",
    ) -> None:
        self.columns = (id_column, value_column)
        self.classes, self.separator, self.output = classes, separator, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        array = require_array(prediction, self.output)
        if array.shape != (len(self.classes),) or array.dtype.kind not in "fb":
            raise ValueError(
                f"{self.output!r} is {array.dtype} {array.shape}, expected probabilities ({len(self.classes)},)"
            )
        # Enough digits to restore the same float32, as in ClassColumns.
        values = (str(value) for value in array.astype(np.float32))
        return [(f"{image_id}{self.separator}{name}", value) for name, value in zip(self.classes, values, strict=True)]

    def image_id(self, key: tuple[str, ...]) -> str:
        return self._divided(key[0])[0]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        values = np.full(len(self.classes), np.nan, np.float32)
        for number, (key, text) in enumerate(texts):
            place = class_place(self._divided(key)[1], self.classes)
            if not np.isnan(values[place]):
                raise RowError(f"class {self.classes[place]!r} is repeated", number)
            try:
                values[place] = float(text)
            except ValueError:
                raise RowError(f"{key} is {text!r}, expected a number{comma_hint(text)}", number) from None
            if not 0 <= values[place] <= 1:
                raise RowError(f"{key} is {text}, expected a probability in 0..1", number)
        lacking = [name for name, value in zip(self.classes, values, strict=True) if np.isnan(value)]
        if lacking:
            raise RowError(f"{len(lacking)} classes have no row: {', '.join(lacking)}")
        return {self.output: values}

    def _divided(self, key: str) -> tuple[str, str]:
        fitting = [name for name in self.classes if key.endswith(self.separator + name)]
        if not fitting:
            raise ValueError(f"id {key!r} does not end in a class, expected one of {', '.join(self.classes)}")
        name = max(fitting, key=len)
        return key.removesuffix(self.separator + name), name

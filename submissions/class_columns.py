"""One row per image, one probability column per class."""

import numpy as np

from files.tables import comma_hint
from submissions.base import Submission, require_array


class ClassColumns(Submission):
    """`image_name,Type_1,Type_2,Type_3` with the probability of each class: Intel & MobileODT cervical cancer.

    Probabilities are written with enough digits to restore the same float32: six digits would turn 1e-7 into 0, which
    the log loss punishes.

    Args:
        classes: column names in the order of the network outputs (default: the class names of the data).
        id_column: name of the id column.
        suffix: suffix of ids in the file that image ids lack: `.jpg`.
        output: name of the probabilities, float `(K,)`, in the prediction; bool is written as 0 and 1.
    """

    spatial = False

    def __init__(
        self,
        classes: list[str] | None = None,
        id_column: str = "image_name",
        suffix: str = "",
        output: str = "label",
    ) -> None:
        self.columns = (id_column, *(classes or []))
        self.classes, self.suffix, self.output = classes, suffix, output

    def take_classes(self, names: list[str] | None) -> None:
        super().take_classes(names)
        self.columns = (self.columns[0], *self.classes)

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        array = require_array(prediction, self.output)
        if array.shape != (len(self.classes),) or array.dtype.kind not in "fb":
            raise ValueError(
                f"{self.output!r} is {array.dtype} {array.shape}, expected probabilities ({len(self.classes)},)"
            )
        return [(image_id + self.suffix, *(str(value) for value in array.astype(np.float32)))]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        values = np.zeros(len(self.classes), np.float32)
        for place, (name, text) in enumerate(zip(self.classes, texts[0][1:], strict=True)):
            try:
                values[place] = float(text)
            except ValueError:
                raise ValueError(f"{name} is {text!r}, expected a number{comma_hint(text)}") from None
            if not 0 <= values[place] <= 1:
                raise ValueError(f"{name} is {text}, expected a probability in 0..1")
        return {self.output: values}

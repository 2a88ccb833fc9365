"""One row per object: the 2018 Data Science Bowl and Airbus ships."""

import numpy as np

from masks import rle
from submissions.base import RowError, Submission, require_array


class InstanceRunLengths(Submission):
    """`ImageId,EncodedPixels` with one row per object and no overlaps; an image without objects has one empty row.

    Args:
        id_column: name of the id column.
        value_column: name of the run-length column.
        order: scan order: `column` (both competitions) or `row`.
        base: number of the first pixel.
        empty: text for an image without objects.
        suffix: suffix of ids in the file that image ids lack: `.jpg` (Airbus).
        output: name of the instance ids `(H, W)` in the post-processed prediction.
    """

    several_rows = True

    def __init__(
        self,
        id_column: str = "ImageId",
        value_column: str = "EncodedPixels",
        order: rle.Order = "column",
        base: int = 1,
        empty: str = "",
        suffix: str = "",
        output: str = "instances",
    ) -> None:
        self.columns = (id_column, value_column)
        self.order, self.base, self.empty, self.suffix, self.output = order, base, empty, suffix, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        texts = rle.encode_instances(require_array(prediction, self.output), order=self.order, base=self.base).values()
        return [(image_id + self.suffix, text) for text in texts] or [(image_id + self.suffix, self.empty)]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        values = [text for _, text in texts]
        if values == [self.empty]:
            return {self.output: np.zeros(size, np.int32)}
        empty = next((number for number, text in enumerate(values) if not text.strip()), None)
        if empty is not None:
            raise RowError(f"object {empty + 1} of {len(values)} is empty", empty)
        return {self.output: rle.decode_instances(values, size, order=self.order, base=self.base)}

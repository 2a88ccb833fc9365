"""One run-length row per image."""

import numpy as np

from masks import rle
from submissions.base import RowError, Submission, require_array


class RunLengths(Submission):
    """`ImageId,EncodedPixels` with one mask per image: SIIM-ACR, TGS salt, Carvana, HuBMAP.

    Args:
        id_column: name of the id column.
        value_column: name of the run-length column.
        order: scan order: `column` (most competitions) or `row` (Carvana).
        base: number of the first pixel (default: 1; SIIM-ACR: 0).
        relative: whether to write SIIM-ACR's gap and length pairs.
        empty: text for an empty mask: "" or "-1".
        suffix: suffix of ids in the file that image ids lack: `.jpg` (Carvana).
        output: name of the bool mask `(1, H, W)` in the post-processed prediction.
    """

    def __init__(
        self,
        id_column: str = "ImageId",
        value_column: str = "EncodedPixels",
        order: rle.Order = "column",
        base: int = 1,
        relative: bool = False,
        empty: str = "",
        suffix: str = "",
        output: str = "mask",
    ) -> None:
        self.columns = (id_column, value_column)
        self.order, self.base, self.relative = order, base, relative
        self.empty, self.suffix, self.output = empty, suffix, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        mask = require_array(prediction, self.output)
        if mask.ndim == 3 and len(mask) != 1:
            raise ValueError(
                f"{self.output!r} is {mask.shape}, expected one mask (1, H, W); for several use ClassRunLengths"
            )
        mask = mask[0] if mask.ndim == 3 else mask
        text = rle.encode(mask, order=self.order, base=self.base, relative=self.relative)
        return [(image_id + self.suffix, text or self.empty)]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        mask = np.zeros(size, bool)
        for number, (_, text) in enumerate(texts):
            if text != self.empty:
                try:
                    mask |= rle.decode(text, size, order=self.order, base=self.base, relative=self.relative)
                except rle.RunLengthError as error:
                    raise RowError(str(error), number) from error
        return {self.output: mask[None]}

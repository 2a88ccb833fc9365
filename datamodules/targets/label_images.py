"""One file of instance ids per image."""

from pathlib import Path

import numpy as np

from datamodules.readers.images import read_picture
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import FilePerImage


class LabelImages(FilePerImage):
    """`instances` from image files whose pixels are instance ids, 0 for background; `valid` if some pixels are void.

    Lossy compression (JPEG) changes ids, so such files are errors.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `labels/{image_id}.png`.
        name: name of the array: ids `(H, W)` of the file, int32, or uint32 and uint64 from 2^31.
        ignore: value of void pixels: 255 for the contours of Pascal VOC's objects. None: every value is an id.
    """

    what = "label image"

    def __init__(self, pattern: str, name: str = "instances", ignore: int | None = None) -> None:
        self.pattern, self.name, self.ignore = pattern, name, ignore

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        labels = read_picture(path, "unchanged")
        if labels.shape[2] != 1:
            raise ValueError(f"label image {path} has {labels.shape[2]} channels, expected 1")
        if labels.shape[:2] != size:
            raise ValueError(f"label image {path} is {labels.shape[:2]}, its image is {size}")
        compression = lossy(path)
        if compression is not None:
            raise ValueError(
                f"label image {path} has no valid ids: {compression} changed its values; save label images as PNG, or "
                "as TIFF with another compression"
            )
        labels = labels[..., 0]
        if self.ignore is None or not (labels == self.ignore).any():
            return {self.name: as_ids(labels, path)}
        counted = labels != self.ignore
        return {self.name: as_ids(np.where(counted, labels, labels.dtype.type(0)), path), "valid": counted}


def as_ids(labels: np.ndarray, path: Path) -> np.ndarray:
    """Convert numbers of any type to object ids: int32, or uint32 and uint64 if needed; int64 is for classes.

    Raises:
        ValueError: if a value is a fraction, NaN, negative or too large; names the file.
    """
    low, high = labels.min(initial=0).item(), labels.max(initial=0).item()
    if labels.dtype.kind == "f" and not (np.rint(labels) == labels).all():
        wrong = labels[np.rint(labels) != labels].flat[0]
        raise ValueError(f"label image {path} has value {wrong}, expected integers; is it a probability map?")
    if low < 0 or high >= 2**63:
        wrong = low if low < 0 else high
        raise ValueError(f"label image {path} has value {wrong}, expected ids of 0 (background) to 2^63")
    return labels.astype(np.int32 if high < 2**31 else np.uint32 if high < 2**32 else np.uint64)

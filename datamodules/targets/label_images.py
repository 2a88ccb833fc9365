"""One file of instance ids per image."""

from pathlib import Path

import numpy as np

from datamodules.readers.images import read_picture
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import FilePerImage


class LabelImages(FilePerImage):
    """`instances` from pictures whose pixels are instance ids, 0 = background; `valid` where some do not count.

    Compression that loses (JPEG) changes ids: such files are refused.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `labels/{image_id}.png`.
        name: name of the array: ids `(H, W)` as the file has them, int32, or uint32 and uint64 from 2^31.
        ignore: number of pixels that do not count: 255, the contour around Pascal VOC's objects. None: each is an id.
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
                f"label image {path} holds no ids: {compression} has changed its values. Save them as PNG, or as "
                "TIFF with another compression"
            )
        labels = labels[..., 0]
        if self.ignore is None or not (labels == self.ignore).any():
            return {self.name: as_ids(labels, path)}
        counted = labels != self.ignore
        return {self.name: as_ids(np.where(counted, labels, labels.dtype.type(0)), path), "valid": counted}


def as_ids(labels: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of any type as ids of objects: int32, or uint32 and uint64 where they need it; int64 is for classes.

    Raises:
        ValueError: a fraction, NaN, a number below 0, or one that no array of whole numbers holds; names the file.
    """
    low, high = labels.min(initial=0).item(), labels.max(initial=0).item()
    if labels.dtype.kind == "f" and not (np.rint(labels) == labels).all():
        wrong = labels[np.rint(labels) != labels].flat[0]
        raise ValueError(f"label image {path} holds {wrong}, expected whole numbers; is it a map of probabilities?")
    if low < 0 or high >= 2**63:
        raise ValueError(f"label image {path} holds {low if low < 0 else high}, expected ids of 0 (background) to 2^63")
    return labels.astype(np.int32 if high < 2**31 else np.uint32 if high < 2**32 else np.uint64)

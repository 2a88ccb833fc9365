"""One mask file per object: the 2018 Data Science Bowl."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.readers.images import opened
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import Target
from files.paths import confined


class InstanceFolders(Target):
    """`instances` from a folder of binary mask files, one per object, numbered 1, 2, … in the order of their names.

    Where masks overlap, the later one wins (9 pixels of the whole Data Science Bowl do).

    Args:
        pattern: glob under `data.root` with `{image_id}` in it: `stage1_train/{image_id}/masks/*.png`.
        name: name of the array, int32 ids `(H, W)`.
    """

    def __init__(self, pattern: str, name: str = "instances") -> None:
        self.pattern, self.name = pattern, name

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        folders = {row.image_id: self._glob(row.image_id).parent for row in table.itertuples(index=False)}
        missing = [(image_id, folder) for image_id, folder in folders.items() if not folder.is_dir()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} images have no masks; the first is {missing[0][0]!r}: no folder {missing[0][1]}. "
                "Check the target's pattern, or list the images that have some in data.train_ids"
            )

    def _glob(self, image_id: str) -> Path:
        return confined(self.root, self.pattern.format(image_id=image_id))

    def files(self, row: Row) -> list[Path]:
        glob = self._glob(row.image_id)
        return sorted(glob.parent.glob(glob.name))

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        labels = np.zeros(size, np.int32)
        for number, file in enumerate(self.files(row), 1):
            with opened(file) as picture:  # of 1 bit what is stored, which TIFF may show the other way round
                one_bit = picture.pixels("unchanged").type == "1-bit"
                mask = picture.read("unchanged" if one_bit else "gray")[..., 0]
            if mask.shape != size:
                raise ValueError(f"mask {file} is {mask.shape}, its image {row.image_id!r} is {size}")
            inside = mask > 0
            white = mask.max(initial=0)
            if (mask != inside * white).any() or (white != 255 and lossy(file)):
                cause = f"; {lossy(file)} changes the values of pixels, save masks as PNG" if lossy(file) else ""
                held = np.unique(mask)[:5].tolist()
                raise ValueError(f"mask {file} holds {held}, expected 0 and one other value{cause}")
            labels[inside] = number
        return {self.name: labels}

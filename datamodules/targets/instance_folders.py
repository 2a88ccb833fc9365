"""One mask file per object, as in the 2018 Data Science Bowl."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.readers.images import opened
from datamodules.readers.lossy import lossy
from datamodules.row import Row, columns_of
from datamodules.targets.base import Target
from datamodules.targets.patterns import expansions, one_file_each


class InstanceFolders(Target):
    """`instances` from a folder of binary mask files, one per object, numbered 1, 2, … in the order of their names.

    Where masks overlap, the later one wins (9 pixels of the whole Data Science Bowl).

    Args:
        pattern: glob under `data.root` with `{image_id}`, `{split}` or `{column}`, as of `MaskFiles`:
            `stage1_train/{image_id}/masks/*.png`.
        name: name of the array, int32 ids `(H, W)`.
    """

    def __init__(self, pattern: str, name: str = "instances") -> None:
        self.pattern, self.name = pattern, name
        self._folders: dict[str, Path] = {}

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._folders = one_file_each(self.root, str(Path(self.pattern).parent), table, "masks", Path.is_dir)

    def files(self, row: Row) -> list[Path]:
        names = expansions(self.root, Path(self.pattern).name, columns_of(row), escape=True)
        return sorted(file for name in names for file in self._folders[row.image_id].glob(name))

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        labels = np.zeros(size, np.int32)
        for number, file in enumerate(self.files(row), 1):
            with opened(file) as image:  # 1 bit as stored, which TIFF may display inverted
                one_bit = image.pixels("unchanged").type == "1-bit"
                mask = image.read("unchanged" if one_bit else "gray")[..., 0]
            if mask.shape != size:
                raise ValueError(f"mask {file} is {mask.shape}, its image {row.image_id!r} is {size}")
            inside = mask > 0
            white = mask.max(initial=0)
            if (mask != inside * white).any() or (white != 255 and lossy(file)):
                cause = f"; {lossy(file)} changes pixel values, save masks as PNG" if lossy(file) else ""
                present = np.unique(mask)[:5].tolist()
                raise ValueError(f"mask {file} has values {present}, expected 0 and one other value{cause}")
            labels[inside] = number
        return {self.name: labels}

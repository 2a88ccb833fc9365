"""One mask file per object, as in the 2018 Data Science Bowl."""

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

    Where masks overlap, the later one wins (9 pixels of the whole Data Science Bowl).

    Args:
        pattern: glob under `data.root` with `{image_id}`: `stage1_train/{image_id}/masks/*.png`.
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
                f"{len(missing)} images have no masks; the first is {missing[0][0]!r}: folder {missing[0][1]} does not "
                "exist. Check the target's pattern, or list the images that have masks in data.train_ids"
            )

    def _glob(self, image_id: str) -> Path:
        return confined(self.root, self.pattern.format(image_id=image_id))

    def files(self, row: Row) -> list[Path]:
        glob = self._glob(row.image_id)
        return sorted(glob.parent.glob(glob.name))

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

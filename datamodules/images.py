"""Plain pictures in folders."""

import pandas as pd

from datamodules.base import BaseDataModule
from datamodules.table import find_images


class ImageDataModule(BaseDataModule):
    """PNG, JPEG, TIFF and GIF files found by glob patterns; the id is the file's name without its ending.

    Its arguments are those of `BaseDataModule`.
    """

    def table(self) -> pd.DataFrame:
        return self.with_metadata(find_images(self.root, self.images), self.metadata)

    def test_table(self) -> pd.DataFrame | None:
        if self.test_images is None:
            return None
        return self.with_metadata(find_images(self.root, self.test_images, source="test"), self.test_metadata)

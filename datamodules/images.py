"""Plain pictures in folders."""

from datamodules.base import BaseDataModule


class ImageDataModule(BaseDataModule):
    """PNG, JPEG, TIFF and GIF files found by glob patterns; the id is the file's name without its ending.

    Its arguments are those of `BaseDataModule`.
    """

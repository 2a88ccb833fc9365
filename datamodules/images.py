"""Plain images in folders, in batches."""

from datamodules.base import BaseDataModule
from datamodules.plain.images import ImageData


class ImageDataModule(ImageData, BaseDataModule):
    __doc__ = ImageData.__doc__

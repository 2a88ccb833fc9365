"""Plain images in folders."""

from datamodules.plain.base import BaseData


class ImageData(BaseData):
    """PNG, JPEG, TIFF and GIF files matched by a glob; the id is the file name without its ending.

    Arguments are those of `BaseData`.
    """

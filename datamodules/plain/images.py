"""Plain images in folders."""

from datamodules.plain.base import BaseData


class ImageData(BaseData):
    """PNG, JPEG, TIFF and GIF files found by glob patterns; the id is the file's name without its ending.

    Its arguments are those of its base.
    """

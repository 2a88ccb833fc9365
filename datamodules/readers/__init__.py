"""How an image is read; any reader works with any target."""

from datamodules.readers.base import ImageReadError, Reader
from datamodules.readers.images import ImageReader

__all__ = ["ImageReadError", "ImageReader", "Reader"]

"""Readers of images; any reader works with any target."""

from datamodules.readers.arrays import ArrayReader
from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.cubes import CubeReader
from datamodules.readers.dicom import DicomReader
from datamodules.readers.dicom_errors import DicomReadError
from datamodules.readers.geotiff import GeoTiffReader
from datamodules.readers.images import ImageReader
from datamodules.readers.rgby import RgbyReader
from datamodules.readers.stacks import StackReader
from datamodules.readers.volumes import VolumeReader

__all__ = [
    "ArrayReader",
    "CubeReader",
    "DicomReadError",
    "DicomReader",
    "GeoTiffReader",
    "ImageReadError",
    "ImageReader",
    "Pixels",
    "Reader",
    "RgbyReader",
    "StackReader",
    "VolumeReader",
]

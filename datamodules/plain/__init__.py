"""Data sets of images as plain classes: files, tables, folds, targets and sizes, without torch or Lightning."""

from datamodules.plain.base import BaseData
from datamodules.plain.dicom import DicomData
from datamodules.plain.images import ImageData
from datamodules.plain.nodules import NoduleData
from datamodules.plain.offline import offline_class
from datamodules.plain.pairs import PairData
from datamodules.plain.rgby import RgbyData
from datamodules.plain.satellite import SatelliteData
from datamodules.plain.slices import SliceData
from datamodules.plain.volumes import VolumeData

__all__ = [
    "BaseData",
    "DicomData",
    "ImageData",
    "NoduleData",
    "PairData",
    "RgbyData",
    "SatelliteData",
    "SliceData",
    "VolumeData",
    "offline_class",
]

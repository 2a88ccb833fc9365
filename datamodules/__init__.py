"""Data: tables, readers and targets as plain classes, LightningDataModules as thin shells around them."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would otherwise ask the network for news

from datamodules.base import BaseDataModule
from datamodules.dicom import DicomDataModule
from datamodules.images import ImageDataModule
from datamodules.nodules import NoduleDataModule
from datamodules.pairs import PairDataModule
from datamodules.rgby import RgbyDataModule
from datamodules.satellite import SatelliteDataModule
from datamodules.slices import SliceDataModule
from datamodules.volumes import VolumeDataModule

__all__ = [
    "BaseDataModule",
    "DicomDataModule",
    "ImageDataModule",
    "NoduleDataModule",
    "PairDataModule",
    "RgbyDataModule",
    "SatelliteDataModule",
    "SliceDataModule",
    "VolumeDataModule",
]

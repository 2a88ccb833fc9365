"""Data: tables, readers and targets as plain classes, and LightningDataModules built on them."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import checks for updates over the network

if TYPE_CHECKING:
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

# Imported lazily: they need torch and Lightning; tables, readers and targets do not.
MODULES = {
    "BaseDataModule": "base",
    "DicomDataModule": "dicom",
    "ImageDataModule": "images",
    "NoduleDataModule": "nodules",
    "PairDataModule": "pairs",
    "RgbyDataModule": "rgby",
    "SatelliteDataModule": "satellite",
    "SliceDataModule": "slices",
    "VolumeDataModule": "volumes",
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in MODULES.values():  # all of them, so that a parser knows every subclass
        found = import_module(f"{__name__}.{module}")
        globals().update({one: getattr(found, one) for one, where in MODULES.items() if where == module})
    return globals()[name]

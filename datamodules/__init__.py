"""Data: tables, readers and targets as plain classes, LightningDataModules as thin shells around them."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would otherwise ask the network for news

from datamodules.base import BaseDataModule  # noqa: E402
from datamodules.images import ImageDataModule  # noqa: E402

__all__ = ["BaseDataModule", "ImageDataModule"]

"""Fluorescence microscopy with one file per channel, in batches."""

from datamodules.base import BaseDataModule
from datamodules.plain.rgby import RgbyData


class RgbyDataModule(RgbyData, BaseDataModule):
    __doc__ = RgbyData.__doc__

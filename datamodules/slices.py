"""Slices of volumes as images, in batches."""

from datamodules.base import BaseDataModule
from datamodules.plain.slices import SliceData


class SliceDataModule(SliceData, BaseDataModule):
    __doc__ = SliceData.__doc__

"""Nodules of LIDC-IDRI as single images, in batches."""

from datamodules.plain.nodules import NoduleData
from datamodules.volumes import VolumeDataModule


class NoduleDataModule(NoduleData, VolumeDataModule):
    __doc__ = NoduleData.__doc__

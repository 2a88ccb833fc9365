"""Medical images in DICOM files, in batches."""

from datamodules.base import BaseDataModule
from datamodules.plain.dicom import DicomData


class DicomDataModule(DicomData, BaseDataModule):
    __doc__ = DicomData.__doc__

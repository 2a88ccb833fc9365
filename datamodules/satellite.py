"""Satellite and aerial images, in batches."""

from typing import Any

from datamodules.base import BaseDataModule
from datamodules.plain.satellite import SatelliteData
from datamodules.readers.geotiff import HANDLES


class SatelliteDataModule(SatelliteData, BaseDataModule):
    __doc__ = SatelliteData.__doc__

    def _decode(self, *args: Any) -> Any:
        decoded = super()._decode(*args)
        HANDLES.close()  # GDAL handles must not be shared with forked loader processes
        return decoded

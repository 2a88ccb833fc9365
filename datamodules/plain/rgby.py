"""Fluorescence microscopy with a file per channel."""

import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.rgby import CHANNEL, RgbyReader
from datamodules.table import find_channels


class RgbyData(BaseData):
    """Images in one file per channel, `<id>_red.png`, `<id>_green.png` …: the Human Protein Atlas competitions.

    `images` has `{channel}` where the colour stands: `train/*_{channel}.png`. Every image must have all the channels
    that the reader wants; the first one that lacks some is named.

    Its arguments are those of its base.
    """

    default_reader = RgbyReader

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        if CHANNEL not in pattern:
            raise ValueError(f"data.images is {pattern!r}, expected {CHANNEL} where the colour stands: *_{CHANNEL}.png")
        return find_channels(root, pattern, CHANNEL, self.reader.channels, source)

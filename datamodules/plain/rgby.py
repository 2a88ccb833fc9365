"""Fluorescence microscopy with one file per channel."""

import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.rgby import CHANNEL, RgbyReader
from datamodules.table import find_channels


class RgbyData(BaseData):
    """Images with one file per channel, `<id>_red.png`, `<id>_green.png` …: the Human Protein Atlas competitions.

    `images` has `{channel}` in place of the colour: `train/*_{channel}.png`. Every image must have all channels of the
    reader; the error names the first image that does not.

    Arguments are those of `BaseData`.
    """

    default_reader = RgbyReader

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        if CHANNEL not in pattern:
            raise ValueError(f"data.images is {pattern!r}, expected {CHANNEL} in place of the colour: *_{CHANNEL}.png")
        return find_channels(root, pattern, CHANNEL, self.reader.channels, source)

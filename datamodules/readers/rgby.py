"""Microscopy with one file per channel: the Human Protein Atlas's red, green, blue and yellow."""

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.images import check_picture, picture_pixels, picture_size, read_picture
from datamodules.row import Row

CHANNEL = "{channel}"
COLOURS = ("red", "green", "blue", "yellow")  # microtubules, the protein, the nucleus, the endoplasmic reticulum


class RgbyReader(Reader):
    """Stacks one image file per channel.

    Args:
        channels: channel names, in place of `{channel}` in the path, in the order of the network's input. Any subset:
            `[red, green, blue]` allows weights of RGB images to be used unchanged.
        planes: plane to read of each channel's file, for tinted files with three planes (the Atlas's own JPEGs), such
            as `{red: 0, green: 1, blue: 2, yellow: 0}`. Not needed if all planes are equal.
        max_pixels: maximum number of pixels of an image.
    """

    def __init__(
        self,
        channels: list[str] = list(COLOURS),  # noqa: B006 - never changed; --help prints it
        planes: dict[str, int] | None = None,
        max_pixels: int = 300_000_000,
    ) -> None:
        if not channels or len(set(channels)) < len(channels):
            raise ValueError(f"RgbyReader: channels is {channels}, expected different names")
        unknown = sorted(set(planes or {}) - set(channels))
        if unknown:
            raise ValueError(f"RgbyReader: planes has {unknown}, expected some of the channels {channels}")
        self.channels, self.planes, self.max_pixels = list(channels), planes or {}, max_pixels

    def files(self, row: Row) -> list[str]:
        return [str(row.path).replace(CHANNEL, channel) for channel in self.channels]

    def size(self, row: Row) -> tuple[int, int]:
        return picture_size(self.files(row)[0], self.max_pixels)

    def pixels(self, row: Row) -> Pixels:
        return Pixels(picture_pixels(self.files(row)[0], "unchanged", self.max_pixels).type, len(self.channels))

    def check(self, row: Row) -> None:
        found = {}
        for file, name in zip(self.files(row), self.channels, strict=True):
            check_picture(file, self.max_pixels)
            size = picture_size(file, self.max_pixels)
            found[name] = f"{size} {picture_pixels(file, 'unchanged', self.max_pixels).type}"
        first = found[self.channels[0]]
        other = next((name for name in found if found[name] != first), None)
        if other is not None:
            raise ImageReadError(
                f"image {row.image_id!r}: channel {other} is {found[other]}, but {self.channels[0]} is {first}"
            )

    def read(self, row: Row) -> np.ndarray:
        """Return `(H, W, C)` in the files' type.

        Raises:
            ImageReadError: if a file is missing, damaged or tinted, or differs from the first in size or type.
        """
        planes = [self._plane(file, name) for file, name in zip(self.files(row), self.channels, strict=True)]
        for name, plane in zip(self.channels, planes, strict=True):
            if plane.shape != planes[0].shape or plane.dtype != planes[0].dtype:
                raise ImageReadError(
                    f"image {row.image_id!r}: channel {name} is {plane.shape} {plane.dtype}, but {self.channels[0]} is "
                    f"{planes[0].shape} {planes[0].dtype}"
                )
        return np.stack(planes, axis=2)

    def _plane(self, file: str, name: str) -> np.ndarray:
        image = read_picture(file, "unchanged", self.max_pixels)
        if image.shape[2] == 1:
            return image[..., 0]
        if name in self.planes:
            if self.planes[name] >= image.shape[2]:
                raise ImageReadError(
                    f"{file} has {image.shape[2]} planes, but reader.planes selects plane {self.planes[name]}"
                )
            return image[..., self.planes[name]]
        colours = image[..., :3]
        if (colours == colours[..., :1]).all():
            return colours[..., 0]
        raise ImageReadError(f"{file} is tinted: its planes differ; select one with reader.planes.{name}")

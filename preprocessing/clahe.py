"""Contrast-limited adaptive histogram equalisation."""

from typing import Literal

import cv2
import numpy as np

from preprocessing.base import Preprocess, from_share, full_scale

LEVELS = 256  # histogram levels for any type; with 65536 almost every bin is empty and the clip limit has no effect


class Clahe(Preprocess):
    """Contrast-limited adaptive histogram equalisation (CLAHE); see `clahe`.

    Args:
        tiles: number of tiles along each axis, as in OpenCV (default: 8). Exclusive with `kernel`.
        kernel: side of a tile in pixels, as in scikit-image (SIIM-ACR, 31st place: 32 on 1024 x 1024, before resizing).
        clip: contrast limit: maximum slope of a tile's curve relative to a straight line; 0 for no limit.
        colour: `lab` equalises the lightness of a colour image and keeps its hue, `channels` equalises each channel.
        max_value: largest possible pixel value, if below that of the type: 4095 for 12 bits stored in 16.
    """

    def __init__(
        self,
        tiles: int | None = None,
        kernel: int | None = None,
        clip: float = 2.0,
        colour: Literal["lab", "channels"] = "lab",
        max_value: float | None = None,
    ) -> None:
        _check(tiles, kernel, clip)
        self.tiles, self.kernel, self.clip, self.colour, self.max_value = tiles, kernel, clip, colour, max_value

    def image(self, image: np.ndarray) -> np.ndarray:
        return clahe(image, self.tiles, self.kernel, self.clip, self.colour, self.max_value)


def clahe(
    image: np.ndarray,
    tiles: int | None = None,
    kernel: int | None = None,
    clip: float = 2.0,
    colour: Literal["lab", "channels"] = "lab",
    max_value: float | None = None,
) -> np.ndarray:
    """Apply contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994), as OpenCV does.

    8-bit images use OpenCV. Other types keep their depth: the same curves of 256 levels are interpolated between
    levels, so the result does not depend on the type of the image. (OpenCV's 16-bit version uses 65536 levels and has
    almost no effect with small tiles.)

    Args:
        image: `(H, W, C)` or `(H, W)`; uint8, uint16, or float in 0 … 1.
        tiles: number of tiles along each axis (default: 8). Exclusive with `kernel`.
        kernel: side of a tile in pixels; the number of tiles is rounded.
        clip: contrast limit; 2 is common for images, 40 is OpenCV's default, 0 is no limit.
        colour: for images of 3 channels: `lab` equalises L of CIE LAB, `channels` each channel; three equal channels
            are gray in either case. Images of other numbers of channels are equalised per channel.
        max_value: largest possible pixel value (default: that of the type, 1 for floats).

    Returns:
        An array of the same shape and type. Constant channels are unchanged.

    Raises:
        ValueError: if both `tiles` and `kernel` are given, the type is not supported, or values exceed `max_value`.
    """
    _check(tiles, kernel, clip)
    if image.ndim == 2:
        return clahe(image[..., None], tiles, kernel, clip, colour, max_value)[..., 0]
    scale = full_scale(image, max_value)
    grid = tile_grid(image.shape[:2], tiles, kernel)
    if image.shape[2] == 3:
        if (image == image[..., :1]).all():
            return np.repeat(_equalise(image[..., 0], grid, clip, scale)[..., None], 3, axis=2)
        if colour == "lab":
            return _equalise_lightness(image, grid, clip, scale)
    channels = [_equalise(image[..., channel], grid, clip, scale) for channel in range(image.shape[2])]
    return np.stack(channels, axis=-1)


def tile_grid(size: tuple[int, int], tiles: int | None = None, kernel: int | None = None) -> tuple[int, int]:
    """Return the number of rows and columns of tiles, at least 1 and at most one per pixel.

    Args:
        size: size of the image, `(H, W)`.
        tiles: number of tiles along each axis (default: 8).
        kernel: side of a tile in pixels: 32 gives 32 tiles for 1024 pixels, 16 for 512.
    """
    rows, columns = (tiles or 8 if kernel is None else round(side / kernel) for side in size)
    return min(max(rows, 1), size[0]), min(max(columns, 1), size[1])


def _check(tiles: int | None, kernel: int | None, clip: float) -> None:
    if tiles is not None and kernel is not None:
        raise ValueError(f"CLAHE: tiles is {tiles} and kernel is {kernel}; set only one of them")
    if (tiles is not None and tiles < 1) or (kernel is not None and kernel < 1) or not clip >= 0:
        raise ValueError(
            f"CLAHE: tiles is {tiles}, kernel {kernel}, clip {clip}; tiles and kernel must be >= 1, clip >= 0"
        )


def _equalise_lightness(image: np.ndarray, grid: tuple[int, int], clip: float, scale: float) -> np.ndarray:
    # In floats: a round trip through 8-bit LAB changes colours by several levels.
    lab = cv2.cvtColor((image / scale).astype(np.float32), cv2.COLOR_RGB2LAB)
    light = np.clip(lab[..., 0] / 100, 0, 1)
    if light.min() == light.max():
        return image.copy()
    lab[..., 0] = _equalise(light, grid, clip, 1.0) * 100
    return from_share(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), image, scale)


def _equalise(channel: np.ndarray, grid: tuple[int, int], clip: float, scale: float) -> np.ndarray:
    if channel.size == 0 or channel.min() == channel.max():
        return channel.copy()  # no contrast; the clip limit would only make it brighter
    if channel.dtype == np.uint8 and scale == 255:
        # OpenCV pads an axis without need, by one pixel per tile, if the other axis needs padding.
        padded = _whole_tiles(np.ascontiguousarray(channel), grid)
        return cv2.createCLAHE(clip, grid[::-1]).apply(padded)[: channel.shape[0], : channel.shape[1]]
    curves, side = _curves(channel, grid, clip, scale)
    result = np.empty_like(channel)
    for top in range(0, len(channel), 256):  # in strips, to save memory for large images
        rows = slice(top, top + 256)
        levels = channel[rows] * np.float32((LEVELS - 1) / scale)
        share = _between_tiles(curves, levels, top, side)
        result[rows] = from_share(share, channel, scale)
    return result


def _curves(
    channel: np.ndarray, grid: tuple[int, int], clip: float, scale: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the curve of each tile, 0 … 1, `(rows, columns, LEVELS)` float32, and the height and width of a tile."""
    rows, columns = grid
    levels = _whole_tiles(np.rint(channel * np.float32((LEVELS - 1) / scale)).astype(np.uint8), grid)
    height, width = levels.shape[0] // rows, levels.shape[1] // columns
    tiles = levels.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(rows * columns, -1)
    counts = np.stack([np.bincount(tile, minlength=LEVELS) for tile in tiles])
    if clip > 0:
        limit = max(int(clip * height * width / LEVELS), 1)
        excess = np.maximum(counts - limit, 0).sum(1)
        counts = np.minimum(counts, limit) + (excess // LEVELS)[:, None]
        # The remainder, less than one per level, is distributed over evenly spaced levels.
        for tile, rest in enumerate((excess % LEVELS).tolist()):
            if rest:
                counts[tile, :: max(LEVELS // rest, 1)][:rest] += 1
    curves = (counts.cumsum(1) / (height * width)).astype(np.float32)
    return curves.reshape(rows, columns, LEVELS), (height, width)


def _whole_tiles(channel: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Pad a channel by reflection at its lower and right border to an integer number of pixels per tile."""
    below, right = (-side % count for side, count in zip(channel.shape, grid, strict=True))
    return cv2.copyMakeBorder(channel, 0, below, 0, right, cv2.BORDER_REFLECT_101) if below or right else channel


def _between_tiles(curves: np.ndarray, levels: np.ndarray, top: int, side: tuple[int, int]) -> np.ndarray:
    """Map levels (float, from row `top` on) by the curves of the four nearest tiles, interpolated bilinearly."""
    rows, columns, count = curves.shape
    flat = curves.reshape(-1)
    below = np.minimum(levels.astype(np.int32), count - 2)
    part = levels - below
    y = (np.arange(top, top + len(levels), dtype=np.float32) / side[0] - np.float32(0.5))[:, None]
    x = (np.arange(levels.shape[1], dtype=np.float32) / side[1] - np.float32(0.5))[None]
    result = np.zeros(levels.shape, np.float32)
    for step_y in (0, 1):
        row = np.clip(np.floor(y).astype(np.int32) + step_y, 0, rows - 1)
        weight_y = y - np.floor(y) if step_y else 1 - (y - np.floor(y))
        for step_x in (0, 1):
            column = np.clip(np.floor(x).astype(np.int32) + step_x, 0, columns - 1)
            weight_x = x - np.floor(x) if step_x else 1 - (x - np.floor(x))
            place = (row * columns + column) * count + below
            low = flat[place]
            result += (weight_y * weight_x) * (low + part * (flat[place + 1] - low))
    return result

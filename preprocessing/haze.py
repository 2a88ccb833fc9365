"""Haze removal by the dark channel prior."""

import cv2
import numpy as np

from preprocessing.base import Preprocess, from_share, full_scale


class RemoveHaze(Preprocess):
    """Remove haze from outdoor and satellite colour images; see `remove_haze`.

    Args:
        window: side of the square of the dark channel, odd, in pixels.
        omega: share of the haze to remove, 0 … 1; a little haze keeps the impression of depth.
        min_transmission: minimum transmission, above 0; limits the amplification of noise.
        radius: radius in pixels of the guided filter that aligns the transmission with edges.
        eps: variance of the guided filter, for values in 0 … 1, above which edges are kept.
        max_value: largest possible pixel value, if below that of the type: 10000 for Sentinel-2 reflectance.
    """

    def __init__(
        self,
        window: int = 15,
        omega: float = 0.95,
        min_transmission: float = 0.1,
        radius: int = 60,
        eps: float = 1e-4,
        max_value: float | None = None,
    ) -> None:
        _check(window, omega, min_transmission)
        self.window, self.omega, self.min_transmission = window, omega, min_transmission
        self.radius, self.eps, self.max_value = radius, eps, max_value

    def image(self, image: np.ndarray) -> np.ndarray:
        return remove_haze(image, self.window, self.omega, self.min_transmission, self.radius, self.eps, self.max_value)


def remove_haze(
    image: np.ndarray,
    window: int = 15,
    omega: float = 0.95,
    min_transmission: float = 0.1,
    radius: int = 60,
    eps: float = 1e-4,
    max_value: float | None = None,
) -> np.ndarray:
    """Remove haze (He, Sun, Tang, "Single Image Haze Removal Using Dark Channel Prior", CVPR 2009).

    Almost every square of a haze-free colour image has a pixel that is dark in some channel, so brightness there is
    haze: `image = clear * t + light * (1 - t)`. The transmission t is refined by a guided filter (He, ECCV 2010)
    instead of the matting of the first paper. Planet's Amazon competition, 1st place. Defaults are the papers'.

    Args:
        image: `(H, W, C)` with 3 or more colour bands; uint8, uint16, or float in 0 … 1.
        window: side of the square, odd, in pixels.
        omega: share of the haze to remove, 0 … 1.
        min_transmission: minimum transmission, above 0.
        radius: radius of the guided filter in pixels; 0 skips it and leaves the transmission blocky.
        eps: variance of the guided filter, for values in 0 … 1.
        max_value: largest possible pixel value (default: that of the type, 1 for floats).

    Returns:
        An array of the same shape and type, clipped to 0 … max_value.

    Raises:
        ValueError: if there are fewer than 3 channels, the type is not supported, or values exceed `max_value`.
    """
    _check(window, omega, min_transmission)
    if image.ndim != 3 or image.shape[2] < 3:
        raise ValueError(f"haze removal: image is {image.shape}, expected (H, W, C) with 3 or more channels")
    scale = full_scale(image, max_value)
    hazy = image.astype(np.float64) / scale
    light = atmospheric_light(hazy, window)
    transmission = 1 - omega * dark_channel(hazy / light, window)
    if radius > 0:
        transmission = guided_filter(hazy.mean(2), transmission, radius, eps)
    clear = (hazy - light) / np.maximum(transmission, min_transmission)[..., None] + light
    return from_share(clear, image, scale)


def dark_channel(image: np.ndarray, window: int = 15) -> np.ndarray:
    """Return the minimum over all channels in the square around each pixel, `(H, W)`.

    Args:
        image: `(H, W, C)` float.
        window: side of the square, odd, in pixels; cropped at the image border.
    """
    return cv2.erode(image.min(2), np.ones((window, window), np.uint8))


def atmospheric_light(image: np.ndarray, window: int = 15, share: float = 0.001) -> np.ndarray:
    """Return the colour `(C,)` of the haze: the mean of the pixels with the brightest dark channel.

    Args:
        image: `(H, W, C)` float.
        window: side of the square of the dark channel, in pixels.
        share: share of pixels to average, at least one pixel.
    """
    dark = dark_channel(image, window).ravel()
    count = max(1, int(dark.size * share))
    brightest = np.argpartition(dark, -count)[-count:]
    return np.maximum(image.reshape(-1, image.shape[2])[brightest].mean(0), 1e-6)  # above 0 for a black image


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Smooth `values` but keep the edges of `guide` (He, Sun, Tang, "Guided Image Filtering", ECCV 2010).

    Args:
        guide: `(H, W)` float, in 0 … 1.
        values: `(H, W)` float.
        radius: radius of the box, `2 * radius + 1` pixels wide; cropped at the image border.
        eps: variance of the guide above which edges are kept.

    Returns:
        `(H, W)` float64.
    """
    guide, values = guide.astype(np.float64), values.astype(np.float64)
    counts = _box_sum(np.ones_like(guide), radius)

    def mean(array: np.ndarray) -> np.ndarray:
        return _box_sum(array, radius) / counts

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + eps)
    return mean(slope) * guide + mean(mean_values - slope * mean_guide)


def _box_sum(array: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    return cv2.boxFilter(array, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)


def _check(window: int, omega: float, min_transmission: float) -> None:
    if window < 1 or window % 2 == 0 or not 0 <= omega <= 1 or not 0 < min_transmission <= 1:
        raise ValueError(
            f"haze removal: window is {window}, omega {omega}, min_transmission {min_transmission}; expected an odd "
            "number of pixels, a share in 0 … 1, and a share above 0"
        )

"""Haze removal: known haze is removed, a clear image stays, the guided filter is the paper's."""

import cv2
import numpy as np
import pytest

from preprocessing.haze import atmospheric_light, dark_channel, guided_filter, remove_haze

LIGHT = np.array([0.85, 0.88, 0.92])


def clear_scene(size=(160, 200), seed=0):
    """A texture with dark and saturated pixels, as the prior wants."""
    random = np.random.default_rng(seed)
    smooth = np.stack([cv2.GaussianBlur(random.random(size), (0, 0), 6) for _ in range(3)], -1)
    smooth = (smooth - smooth.min((0, 1))) / (smooth.max((0, 1)) - smooth.min((0, 1)))
    fine = random.random((*size, 3)) * (random.random((*size, 1)) < 0.5)
    return np.clip(0.5 * smooth * random.integers(0, 2, (*size, 3)) + 0.3 * fine, 0, 1)


def hazy_scene(seed=0):
    clear = clear_scene(seed=seed)
    height, width = clear.shape[:2]
    t = np.repeat(np.linspace(0.35, 0.9, height)[:, None], width, 1)
    t[:20, :40] = 0.0  # sky: nothing but haze
    return clear, clear * t[..., None] + LIGHT * (1 - t[..., None])


def psnr(one, other):
    return -10 * np.log10(((one - other) ** 2).mean())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_known_haze_is_removed(dtype, seed):
    clear, hazy = hazy_scene(seed)
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    stored = (hazy * scale).astype(dtype)
    result = remove_haze(stored)
    assert result.dtype == dtype
    assert result.shape == hazy.shape
    below = slice(40, None)  # without the sky, which nothing can bring back
    assert psnr(result[below] / scale, clear[below]) > psnr(hazy[below], clear[below]) + 3


def test_colour_of_the_haze():
    _, hazy = hazy_scene()
    assert np.abs(atmospheric_light(hazy) - LIGHT).max() < 0.05


def test_types_agree():
    _, hazy = hazy_scene()
    eight = (hazy * 255).round().astype(np.uint8)
    sixteen = remove_haze(eight.astype(np.uint16) * 257) / 257
    ten_thousand = remove_haze(eight.astype(np.uint16) * 39, max_value=255 * 39) / 39
    assert np.abs(remove_haze(eight) - sixteen).max() <= 0.51
    assert np.abs(remove_haze(eight) - ten_thousand).max() <= 0.53


def test_clear_image_nearly_stays():
    clear = (clear_scene() * 255).astype(np.uint8)
    assert np.abs(remove_haze(clear).astype(int) - clear).mean() < 1


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_are_finite(value):
    image = np.full((40, 40, 3), value, np.uint8)
    assert (remove_haze(image) == value).all()


def test_dark_channel_is_the_smallest_around():
    image = np.random.default_rng(0).random((12, 14, 3))
    expected = [[image[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].min() for x in range(14)] for y in range(12)]
    assert (dark_channel(image, 5) == np.array(expected)).all()


@pytest.mark.parametrize("radius", [1, 4, 60])
def test_guided_filter_is_the_papers(radius):
    random = np.random.default_rng(0)
    guide, values, eps = random.random((23, 31)), random.random((23, 31)), 1e-4
    height, width = guide.shape

    def windows():
        for y in range(height):
            for x in range(width):
                rows = slice(max(0, y - radius), y + radius + 1)
                yield y, x, (rows, slice(max(0, x - radius), x + radius + 1))

    slope, offset, expected = np.zeros_like(guide), np.zeros_like(guide), np.zeros_like(guide)
    for y, x, window in windows():  # equations 5 and 6
        part, target = guide[window], values[window]
        slope[y, x] = ((part * target).mean() - part.mean() * target.mean()) / (part.var() + eps)
        offset[y, x] = target.mean() - slope[y, x] * part.mean()
    for y, x, window in windows():  # equation 8
        expected[y, x] = slope[window].mean() * guide[y, x] + offset[window].mean()
    np.testing.assert_allclose(guided_filter(guide, values, radius, eps), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("image", "arguments", "word"),
    [
        (np.zeros((9, 9, 1), np.uint8), {}, "3 or more channels"),
        (np.zeros((9, 9, 3), np.int16), {}, "int16"),
        (np.zeros((9, 9, 3), np.uint8), {"window": 4}, "odd"),
        (np.zeros((9, 9, 3), np.uint8), {"min_transmission": 0}, "min_transmission"),
    ],
)
def test_what_makes_no_sense_is_refused(image, arguments, word):
    with pytest.raises(ValueError, match=word):
        remove_haze(image, **arguments)

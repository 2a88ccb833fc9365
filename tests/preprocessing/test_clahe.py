"""CLAHE: equal to OpenCV, the same for every type, quiet where there is no contrast."""

import cv2
import numpy as np
import pytest
import skimage.data

from preprocessing.clahe import clahe, tile_grid


def texture(size=(96, 128), seed=0, low=60, high=130):
    noise = np.random.default_rng(seed).random(size)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4) + 0.02 * noise
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (low + smooth * (high - low)).astype(np.uint8)


def colours(seed=0):
    return np.stack([texture(seed=seed, low=low, high=low + 60) for low in (70, 95, 120)], axis=-1)


def hue(image):
    hsv = cv2.cvtColor(image.astype(np.float32) / np.iinfo(image.dtype).max, cv2.COLOR_RGB2HSV)
    return hsv[..., 0]


def test_gray_is_what_opencv_makes_of_it():
    gray = texture()
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(gray)
    assert (clahe(gray[..., None])[..., 0] == expected).all()
    assert (clahe(gray) == expected).all()


@pytest.mark.parametrize("value", [0, 7, 128, 255])
@pytest.mark.parametrize("colour", ["lab", "channels"])
def test_constant_image_stays(value, colour):
    for dtype, scale in ((np.uint8, 1), (np.uint16, 257), (np.float32, 1 / 255)):
        gray = np.full((64, 64, 1), value * scale, dtype)
        assert (clahe(gray, colour=colour) == gray).all()
    image = np.full((64, 64, 3), (value, 100, 30), np.uint8)
    assert (clahe(image, colour=colour) == image).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_contrast_of_a_dull_image_rises(dtype):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    dull = (texture(low=110, high=140) / 255 * full).astype(dtype)
    assert clahe(dull).std() > 1.5 * dull.std()


def test_lightness_keeps_the_hue():
    photo = skimage.data.astronaut()

    def turned(colour):
        result = clahe(photo, colour=colour)
        hsv = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        # The hue of what is nearly gray, black or white is chance.
        clear = (hsv[..., 1] > 0.25) & (hsv[..., 2] > 0.2) & (result > 0).all(2) & (result < 255).all(2)
        assert clear.mean() > 0.2
        difference = np.abs(hue(result) - hue(photo))[clear]
        return np.minimum(difference, 360 - difference)

    assert np.median(turned("lab")) < 1
    assert np.percentile(turned("lab"), 99) < 6
    assert turned("channels").mean() > 5 * turned("lab").mean()


@pytest.mark.parametrize("size", [(96, 128), (100, 131), (96, 100), (31, 7)])
@pytest.mark.parametrize("clip", [0.0, 2.0, 40.0])
def test_the_type_makes_no_difference(size, clip):
    gray = texture(size, low=0, high=255)
    eight = clahe(gray, clip=clip).astype(float)
    sixteen = clahe(gray.astype(np.uint16) * 257, clip=clip)
    share = clahe(gray / 255.0, clip=clip)
    twelve = clahe(gray.astype(np.uint16) * 16, clip=clip, max_value=255 * 16)
    assert sixteen.dtype == np.uint16
    assert share.dtype == np.float64
    for other in (sixteen / 257, share * 255, twelve / 16):
        assert np.abs(eight - other).max() <= 1  # 8 bits round twice


def test_colour_does_not_depend_on_the_type_either():
    image = colours()
    eight, sixteen = clahe(image).astype(float), clahe(image.astype(np.uint16) * 257) / 257
    assert np.abs(eight - sixteen).max() <= 1.01


def test_deep_data_keeps_its_depth():
    deep = (np.random.default_rng(0).random((64, 64)) * 4095).astype(np.uint16)
    deep = cv2.GaussianBlur(deep, (0, 0), 2)
    result = clahe(deep, max_value=4095)
    assert result.max() <= 4095
    assert len(np.unique(result)) > 3 * 256
    assert result.std() > deep.std()


def test_kernel_counts_pixels():
    assert tile_grid((1024, 1024), kernel=32) == (32, 32)
    assert tile_grid((512, 512), kernel=32) == (16, 16)
    assert tile_grid((512, 1024), kernel=32) == (16, 32)
    assert tile_grid((20, 8), kernel=32) == (1, 1)
    assert tile_grid((4, 300)) == (4, 8)


def test_kernel_reaches_opencv_height_and_width_in_its_order(monkeypatch):
    asked, create = [], cv2.createCLAHE

    def spy(clip, grid):
        asked.append(grid)
        return create(clip, grid)

    monkeypatch.setattr(cv2, "createCLAHE", spy)
    for size in ((1024, 1024), (512, 512), (512, 1024)):
        clahe(texture(size), kernel=32)
    assert asked == [(32, 32), (16, 16), (32, 16)]  # OpenCV counts columns first


def test_three_equal_channels_are_gray():
    gray = texture()
    assert (clahe(np.repeat(gray[..., None], 3, axis=2)) == clahe(gray)[..., None]).all()


@pytest.mark.parametrize("shape", [(40, 40, 1), (40, 40, 2), (40, 40, 5)])
def test_other_numbers_of_channels(shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    result = clahe(image)
    assert result.shape == shape
    assert (result[..., 0] == clahe(image[..., 0])).all()


@pytest.mark.parametrize(
    ("image", "arguments", "word"),
    [
        (np.zeros((9, 9), np.int16), {}, "int16"),
        (np.full((9, 9), 1.5), {}, "max_value"),
        (np.full((9, 9), np.nan), {}, "nan"),
        (np.full((9, 9), 5000, np.uint16), {"max_value": 4095}, "5000"),
        (np.zeros((9, 9), np.uint8), {"tiles": 8, "kernel": 32}, "tiles"),
        (np.zeros((9, 9), np.uint8), {"kernel": 0}, "kernel"),
    ],
)
def test_what_makes_no_sense_is_refused(image, arguments, word):
    with pytest.raises(ValueError, match=word):
        clahe(image, **arguments)

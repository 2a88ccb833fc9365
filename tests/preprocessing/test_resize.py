"""Resizing: height first, averages when shrinking, no value invented in masks, 16 bits kept."""

import cv2
import numpy as np
import pytest

from preprocessing.resize import Resize, resize_image, resize_mask, target_size

CARVANA = (1280, 1918)


def noise(shape, dtype):
    values = np.random.default_rng(0).random(shape)
    return values.astype(dtype) if np.issubdtype(dtype, np.floating) else (values * np.iinfo(dtype).max).astype(dtype)


def test_height_comes_first():
    step = Resize(size=(320, 480))
    assert step.image(np.zeros((*CARVANA, 3), np.uint8)).shape == (320, 480, 3)
    assert step.image(np.zeros((*CARVANA, 1), np.uint8)).shape == (320, 480, 1)
    assert step.mask(np.zeros((2, *CARVANA), np.uint8)).shape == (2, 320, 480)
    assert step.mask(np.zeros(CARVANA, np.int64)).shape == (320, 480)
    wide = np.zeros((10, 20), np.uint8)
    wide[:, 10:] = 255  # a left and a right half, not an upper and a lower one
    assert (resize_image(wide, (4, 8)) == np.repeat([[0, 255]], 4, 1)).all()


def test_longer_side():
    assert target_size((100, 200), 50) == (25, 50)
    assert target_size((200, 100), 50) == (50, 25)
    assert target_size((1000, 3), 100) == (100, 1)
    assert Resize(size=64).image(np.zeros((100, 200, 3), np.uint8)).shape == (32, 64, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 13])
def test_shrinking_averages_in_the_images_own_type(dtype, channels):
    image = noise((24, 36, channels), dtype)
    result = resize_image(image, (8, 12))
    mean = image.astype(np.float64).reshape(8, 3, 12, 3, channels).mean((1, 3))
    assert result.dtype == dtype
    assert np.abs(result - mean).max() <= (0.51 if np.issubdtype(dtype, np.integer) else 1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_one_axis_shrinks_and_the_other_grows(dtype):
    image = noise((40, 30, 3), dtype)
    result = resize_image(image, (20, 60))
    expected = cv2.resize(resize_image(image, (20, 30)), (60, 20), interpolation=cv2.INTER_LINEAR)
    assert result.dtype == dtype
    assert (result == expected).all()
    assert np.abs(resize_image(image, (20, 30)) - image.reshape(20, 2, 30, 3).mean(1)).max() <= 0.51


@pytest.mark.parametrize("enlarge", ["linear", "cubic"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_enlarging_keeps_what_is_flat_and_saturates(dtype, enlarge):
    top = np.iinfo(dtype).max
    flat = np.full((7, 9, 3), top - 3, dtype)
    assert (resize_image(flat, (20, 33), enlarge) == top - 3).all()
    edge = np.zeros((8, 8, 1), dtype)
    edge[:, 4:] = top
    assert resize_image(edge, (32, 32), enlarge)[:, :8].max() < top // 2  # cubic overshoot does not wrap around


def test_same_size_is_the_same_image():
    image = noise((15, 17, 3), np.uint16)
    assert (resize_image(image, (15, 17)) == image).all()


def test_smooth_masks_survive_the_way_to_320_by_480_and_back():
    rows, columns = np.ogrid[: CARVANA[0], : CARVANA[1]]
    car = ((rows - 700) / 380) ** 2 + ((columns - 950) / 760) ** 2 < 1
    car |= ((rows - 450) / 220) ** 2 + ((columns - 1000) / 400) ** 2 < 1
    mask = car.astype(np.uint8)[None] * 255
    small = resize_mask(mask, (320, 480))
    back = resize_mask(small, CARVANA)
    assert set(np.unique(small)) == {0, 255}
    both, any_ = np.count_nonzero(mask & back), np.count_nonzero(mask | back)
    assert both / any_ > 0.99


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("size", [(5, 7), (64, 90), (200, 31)])
def test_masks_take_the_nearest_pixel(dtype, size):
    labels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 200, (50, 60)).astype(dtype)
    result = resize_mask(labels, size)
    assert result.dtype == dtype
    rows, columns = np.indices(labels.shape)
    for axis, index in ((0, resize_mask(rows, size)[:, 0]), (1, resize_mask(columns, size)[0])):
        centres = (np.arange(size[axis]) + 0.5) * labels.shape[axis] / size[axis]
        distances = np.abs(centres[:, None] - (np.arange(labels.shape[axis]) + 0.5))
        np.testing.assert_allclose(distances[np.arange(size[axis]), index], distances.min(1), atol=1e-9)
    assert (result == labels[resize_mask(rows, size), resize_mask(columns, size)]).all()


def test_a_mask_shrinks_where_its_image_does():
    image = np.zeros((90, 120, 1), np.uint8)
    image[30:60, 30:90] = 255
    small, mask = resize_image(image, (30, 40)), resize_mask(image[..., 0], (30, 40))
    assert (small[..., 0] == mask).all()


def test_class_numbers_are_not_averaged():
    with pytest.raises(ValueError, match="int64"):
        resize_image(np.zeros((9, 9), np.int64), (3, 3))
    with pytest.raises(ValueError, match="size"):
        Resize(size=(0, 3))

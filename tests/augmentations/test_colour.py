"""Colours fused per sample: against their parts, on the device and in a worker."""

import cv2
import numpy as np
import pytest
import torch

from augmentations import Colour
from augmentations.colour import Bank, tint_image

SOME = [
    {"p": 1.0, "brightness": 0.3},
    {"p": 1.0, "contrast": 0.4},
    {"p": 1.0, "gamma": [0.5, 2.0]},
    {"p": 1.0, "saturation": 0.7},
    {"p": 1.0, "hue": 60.0},
    {"p": 1.0, "channel": 0.3},
    {"gray": 1.0},
    {"invert": 1.0},
    {"shuffle": 1.0},
    {"p": 1.0, "brightness": 0.2, "contrast": 0.3, "saturation": 0.5, "hue": 20.0, "shuffle": 0.5, "gamma": [0.7, 1.4]},
]


def random(seed=0):
    return np.random.default_rng(seed)


def picture(count=2, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 24, 20), dtype=torch.uint8, generator=generator)


def batch(settings, images, seed=0):
    return Colour(**settings).batch({"image": images, "mask": images[:, :1] > 99}, 255.0, random(seed))["image"]


@pytest.mark.parametrize("settings", SOME)
def test_the_worker_does_what_the_device_does(settings):
    for seed in range(4):
        images = picture(1)
        image = images[0].permute(1, 2, 0).numpy()
        colour = Colour(**settings)
        device = colour.batch({"image": images}, 255.0, random(seed))["image"][0].permute(1, 2, 0).numpy()
        bytes_, _ = colour.sample(image, {}, 255.0, random(seed))
        assert bytes_.dtype == np.uint8
        # A matrix is rounded to bytes before the power, which is steep in the dark.
        steep = 20 if "gamma" in settings and "hue" in settings else 1.01
        assert np.abs(bytes_ - device).max() <= steep
        floats, _ = colour.sample(image.astype(np.float32) / 255, {}, 1.0, random(seed))
        np.testing.assert_allclose(floats * 255, device, atol=2e-2)
        words, _ = colour.sample(image.astype(np.uint16) * 257, {}, 65535.0, random(seed))
        assert words.dtype == np.uint16
        np.testing.assert_allclose(words / 257, device, atol=2e-2)


def test_masks_stay():
    given = {"image": picture(), "mask": picture()[:, :1]}
    found = Colour(p=1.0, brightness=0.5, noise=[0.1, 0.1]).batch(given, 255.0, random())
    assert found["mask"] is given["mask"]
    assert given["image"].dtype == torch.uint8
    assert torch.equal(given["image"], picture())


def test_brightness_moves_the_mean_and_not_the_deviation():
    images = torch.randint(100, 156, (4, 3, 24, 20), dtype=torch.uint8)
    found = batch({"p": 1.0, "brightness": 0.2}, images)
    apart = found - images
    assert apart.flatten(1).std(1).max() < 1e-4
    assert apart.flatten(1).mean(1).abs().max() <= 51.01
    assert apart.flatten(1).mean(1).unique().numel() == 4


def test_gray_is_not_turned_and_colour_is():
    gray = torch.arange(0, 240, 10, dtype=torch.uint8).view(1, 1, 4, 6).repeat(1, 3, 1, 1)
    for seed in range(4):
        torch.testing.assert_close(
            batch({"p": 1.0, "hue": 90.0, "saturation": 0.9}, gray, seed), gray.float(), atol=1e-3, rtol=0
        )


def test_hue_turns_red_to_green_and_blue():
    class Fixed:
        def random(self, count=None):
            return np.zeros(count) if count else 0.0

        def uniform(self, low, high, count=None):
            return np.full(count, high)

    red = torch.tensor([90.0, 0, 0]).view(1, 3, 1, 1)
    drawn = Colour(p=1.0, hue=120.0)._colours(1, np.array([True]), Fixed())
    turned = torch.from_numpy(drawn[0]).float() @ red[0, :, 0]
    assert sorted(turned[:, 0].tolist()) == pytest.approx([0, 0, 90], abs=1e-4)
    assert turned[0, 0].item() == pytest.approx(0, abs=1e-4)


def test_gray_is_opencvs():
    images = picture(1)
    found = batch({"gray": 1.0}, images)[0]
    expected = cv2.cvtColor(images[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
    for channel in found:
        assert np.abs(channel.numpy() - expected).max() <= 1


def test_invert_twice_is_nothing():
    images = picture()
    once = batch({"invert": 1.0}, images)
    torch.testing.assert_close(once, 255 - images.float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(batch({"invert": 1.0}, once), images.float(), atol=1e-3, rtol=0)


def test_shuffled_channels_are_a_permutation_and_all_six_come():
    images = picture(200)
    found = batch({"shuffle": 1.0}, images).round()
    orders = set()
    for before, after in zip(images.float(), found, strict=True):
        order = tuple(next(i for i in range(3) if torch.equal(before[i], channel)) for channel in after)
        assert sorted(order) == [0, 1, 2]
        orders.add(order)
    assert len(orders) == 6


def test_noise_has_its_deviation_and_bytes_are_clipped():
    flat = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    found = batch({"noise": [0.02, 0.1], "noise_p": 1.0}, flat)
    deviation = (found - flat).flatten(1).std(1) / 255
    assert deviation.min() > 0.019
    assert deviation.max() < 0.101
    assert deviation.unique().numel() == 8
    assert not torch.equal(found[0] - 128, found[1] - 128)
    white = np.full((64, 64, 3), 250, np.uint8)
    noisy, _ = Colour(noise=[0.1, 0.1], noise_p=1.0).sample(white, {}, 255.0, random())
    assert noisy.min() < 230
    assert noisy.max() == 255
    assert 0.08 < (noisy[noisy < 255].astype(float) - 250).std() / 255 < 0.11 or noisy.std() > 10


def test_the_seed_decides_and_epochs_differ():
    settings = {"p": 1.0, "contrast": 0.3, "noise": [0.05, 0.05], "noise_p": 1.0}
    colour = Colour(**settings)
    one = colour.batch({"image": picture()}, 255.0, random(1))["image"]
    assert torch.equal(one, Colour(**settings).batch({"image": picture()}, 255.0, random(1))["image"])
    assert not torch.equal(one, colour.batch({"image": picture()}, 255.0, random(2))["image"])


def test_chance_for_each_sample():
    tint = Colour(p=0.3, brightness=0.2, invert=0.25, gamma=[0.5, 2]).draw(4000, 3, random())
    moved = (tint.power != 1).mean()
    assert 0.27 < moved < 0.33
    assert 0.22 < (tint.matrix[:, 0, 0] < 0).mean() < 0.28


def test_many_bands():
    found = batch({"p": 1.0, "channel": 0.2, "brightness": 0.1, "shuffle": 0.5}, picture(2, 9))
    assert found.shape == (2, 9, 24, 20)
    image = picture(1, 9)[0].permute(1, 2, 0).numpy()
    assert tint_image(image, Colour(p=1.0, channel=0.2).draw(1, 9, random()), 255.0, Bank()).shape == image.shape
    one = picture(1, 1)[0].permute(1, 2, 0).numpy()
    assert Colour(p=1.0, contrast=0.2, noise=[0.1, 0.1]).sample(one, {}, 255.0, random())[0].shape == one.shape


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="the images have 4 channels"):
        batch({"hue": 10.0}, picture(1, 4))
    with pytest.raises(ValueError, match="p is .*, expected a probability"):
        Colour(p=2)
    with pytest.raises(ValueError, match=r"gamma is \[0, 1\]"):
        Colour(gamma=[0, 1])

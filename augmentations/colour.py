"""Colour augmentation: all operations on pixel values composed into one matrix, a power and noise."""

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from augmentations.base import Augmentation, uniform

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as OpenCV
GRAY = np.ones(3) / np.sqrt(3)


class Tint(NamedTuple):
    """Transform of the values, in [0, 1], of N samples of C channels: matrix · x + offset, clipped, ^ power, + noise.

    Args:
        matrix: `(N, C, C)` float32.
        offset: `(N, C)` float32.
        diagonal: whether all matrices are diagonal.
        power: exponents `(N,)` float32, or None.
        noise: standard deviations `(N,)` float32, or None.
        start: relative position in the noise bank, in [0, 1).
    """

    matrix: np.ndarray
    offset: np.ndarray
    diagonal: bool
    power: np.ndarray | None
    noise: np.ndarray | None
    start: float


class Colour(Augmentation):
    """Brightness, contrast, gamma, saturation, hue, gray, inversion, channel order and noise, fused per sample.

    With the same arguments it works on batches on the device (`model.augmentation`) and on images in the workers
    (`data.augmentation`; 8-bit images by a lookup table). Masks do not change.

    Args:
        p: probability of brightness, contrast, gamma, saturation and hue together, in [0, 1].
        brightness: largest shift in either direction, as a fraction of the value range.
        contrast: largest change of the gain in either direction; around black, as in albumentations.
        gamma: range `[low, high]` of the power on values in [0, 1].
        saturation: largest relative change of the distance to gray, in either direction; RGB only.
        hue: largest rotation of colours around the gray axis in degrees, in either direction; RGB only.
        channel: largest change of the gain of each channel separately, in either direction; for many bands, or stains.
        gray: probability of conversion to gray; RGB only.
        invert: probability of inversion (the negative).
        shuffle: probability of a random order of channels.
        noise: range `[low, high]` of the standard deviation of Gaussian noise, as a fraction of the value range;
            albumentations' default [0.2, 0.44] destroys images.
        noise_p: probability of noise.
        extremes: whether brightness, contrast, gamma, saturation, hue and channel take only the two ends of their
            ranges: "hard" augmentation (see `Stages`).

    Raises:
        ValueError: a probability is outside [0, 1], a range is not [low, high], or an RGB operation gets images without
            three channels.
    """

    def __init__(
        self,
        p: float = 0.5,
        brightness: float = 0.0,
        contrast: float = 0.0,
        gamma: list[float] = [1.0, 1.0],  # noqa: B006 - never changed; --help prints it
        saturation: float = 0.0,
        hue: float = 0.0,
        channel: float = 0.0,
        gray: float = 0.0,
        invert: float = 0.0,
        shuffle: float = 0.0,
        noise: list[float] = [0.0, 0.0],  # noqa: B006
        noise_p: float = 0.5,
        extremes: bool = False,
    ) -> None:
        for name, chance in (("p", p), ("gray", gray), ("invert", invert), ("shuffle", shuffle), ("noise_p", noise_p)):
            if not 0 <= chance <= 1:
                raise ValueError(f"Colour: {name} is {chance}, expected a probability in [0, 1]")
        for name, (low, high) in (("gamma", gamma), ("noise", noise)):
            if low > high or low < 0 or (name == "gamma" and low == 0):
                raise ValueError(f"Colour: {name} is {[low, high]}, expected [low, high]")
        self.p, self.brightness, self.contrast, self.gamma = p, brightness, contrast, gamma
        self.saturation, self.hue, self.channel = saturation, hue, channel
        self.gray, self.invert, self.shuffle, self.noise, self.noise_p = gray, invert, shuffle, noise, noise_p
        self.extremes = extremes
        self._bank = Bank()

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images: Tensor = batch["image"]
        floats = images.int().to(torch.float32) if images.dtype == torch.uint16 else images.to(torch.float32)
        return batch | {
            "image": tint_batch(floats, self.draw(len(images), images.shape[1], rng), max_value, self._bank)
        }

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return tint_image(image, self.draw(1, image.shape[2], rng), max_value, self._bank), arrays

    def draw(self, count: int, channels: int, rng: np.random.Generator) -> Tint:
        """Random parameters for `count` images."""
        coloured = bool(self.saturation or self.hue or self.gray)
        if coloured and channels != 3:
            raise ValueError(f"Colour: saturation, hue and gray need RGB, but the images have {channels} channels")
        chosen = rng.random(count) < self.p
        gain = 1 + self._between(rng, -self.contrast, self.contrast, (count, 1))
        gain = gain * (1 + self._between(rng, -self.channel, self.channel, (count, channels)))
        gain = np.where(chosen[:, None], gain, 1)
        offset = np.where(chosen, self._between(rng, -self.brightness, self.brightness, count), 0)[:, None]
        offset = np.broadcast_to(offset, (count, channels))
        matrix = gain[:, :, None] * np.eye(channels)
        if coloured:
            colours = self._colours(count, chosen, rng)
            matrix, offset = colours @ matrix, np.einsum("nij,nj->ni", colours, offset)
        shuffled = self.shuffle > 0 and channels > 1
        if shuffled:
            orders = rng.permuted(np.broadcast_to(np.arange(channels), (count, channels)), axis=1)
            kept = rng.random(count) >= self.shuffle
            orders = np.where(kept[:, None], np.arange(channels), orders)
            matrix = np.take_along_axis(matrix, orders[:, :, None], 1)
            offset = np.take_along_axis(offset, orders, 1)
        if self.invert:
            sign = np.where(rng.random(count) < self.invert, -1.0, 1.0)
            matrix, offset = matrix * sign[:, None, None], offset * sign[:, None] + (sign[:, None] < 0)
        power = noise = None
        if list(self.gamma) != [1, 1]:
            drawn = np.exp(self._between(rng, *np.log(self.gamma), count))
            power = np.where(chosen, drawn, 1).astype(np.float32)
        if self.noise[1]:
            drawn = rng.uniform(*self.noise, count)
            noise = np.where(rng.random(count) < self.noise_p, drawn, 0).astype(np.float32)
        diagonal = not coloured and not shuffled
        start = float(rng.random())
        return Tint(matrix.astype(np.float32), offset.astype(np.float32), diagonal, power, noise, start)

    def _between(self, rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]) -> np.ndarray:
        return uniform(rng, low, high, shape, self.extremes)

    def _colours(self, count: int, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Matrices `(N, 3, 3)`: rotation around the gray axis, then a move towards gray or away from it."""
        angle = np.deg2rad(np.where(chosen, self._between(rng, -self.hue, self.hue, count), 0))[:, None, None]
        cross = np.array([[0, -GRAY[2], GRAY[1]], [GRAY[2], 0, -GRAY[0]], [-GRAY[1], GRAY[0], 0]])
        turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(GRAY, GRAY)
        share = 1 + np.where(chosen, self._between(rng, -self.saturation, self.saturation, count), 0)
        share = np.where(rng.random(count) < self.gray, 0, share)[:, None, None]
        return (share * np.eye(3) + (1 - share) * LUMINANCE[None, None]) @ turn


class Bank:
    """Gaussian noise drawn once and read from a random position: a new `randn` would cost more than all else."""

    def __init__(self) -> None:
        self.tensor: Tensor | None = None
        self.array: np.ndarray | None = None
        self.bytes: np.ndarray | None = None

    def on(self, like: Tensor, start: float) -> Tensor:
        """Noise in the shape of a batch, on its device."""
        needed = like.numel()
        if self.tensor is None or self.tensor.numel() < 1.5 * needed or self.tensor.device != like.device:
            generator = torch.Generator(like.device).manual_seed(0)
            self.tensor = torch.randn(2 * needed, generator=generator, device=like.device)
        first = int(start * (self.tensor.numel() - needed))
        return self.tensor[first : first + needed].view(like.shape)

    def of_bytes(self, shape: tuple[int, ...], start: float) -> np.ndarray:
        """Noise in the shape of an image as uint8, 128 + 32 · noise, which OpenCV adds to bytes in one pass."""
        needed = int(np.prod(shape))
        if self.bytes is None or len(self.bytes) < 1.5 * needed:
            noise = np.random.default_rng(0).standard_normal(2 * needed, np.float32)
            self.bytes = np.rint(noise * 32 + 128).clip(0, 255).astype(np.uint8)
        first = int(start * (len(self.bytes) - needed))
        return self.bytes[first : first + needed].reshape(shape)

    def of(self, shape: tuple[int, ...], start: float) -> np.ndarray:
        """Noise in the shape of an image, float32."""
        needed = int(np.prod(shape))
        if self.array is None or len(self.array) < 1.5 * needed:
            self.array = np.random.default_rng(0).standard_normal(2 * needed, np.float32)
        first = int(start * (len(self.array) - needed))
        return self.array[first : first + needed].reshape(shape)


def tint_batch(images: Tensor, tint: Tint, max_value: float, bank: Bank) -> Tensor:
    """Apply to `(N, C, H, W)` float with values in [0, max_value]; in place where possible."""
    axes = [1] * (images.dim() - 2)
    offset = torch.from_numpy(tint.offset * max_value).to(images.device, non_blocking=True)
    if tint.diagonal:
        gain = tint.matrix.diagonal(axis1=1, axis2=2).copy()
        gain = torch.from_numpy(gain).to(images.device, non_blocking=True)
        images = torch.addcmul(offset.view(*offset.shape, *axes), images, gain.view(*gain.shape, *axes))
    else:
        matrix = torch.from_numpy(tint.matrix).to(images.device, non_blocking=True)
        images = torch.baddbmm(offset[:, :, None], matrix, images.flatten(2)).view(images.shape)
    if tint.power is not None:
        power = torch.from_numpy(tint.power).to(images.device, non_blocking=True).view(-1, 1, *axes)
        images = images.div_(max_value).clamp_(0, 1).pow_(power).mul_(max_value)
    if tint.noise is not None:
        noise = torch.from_numpy(tint.noise * max_value).to(images.device, non_blocking=True).view(-1, 1, *axes)
        images = images.addcmul_(bank.on(images, tint.start), noise)
    return images.clamp_(0, max_value)


def tint_image(image: np.ndarray, tint: Tint, max_value: float, bank: Bank) -> np.ndarray:
    """Apply the first sample's transform to `(H, W, C)` with values in [0, max_value]; keeps the type."""
    if image.dtype != np.uint8:
        return _tint_values(image, tint, max_value, bank)
    matrix, offset = tint.matrix[0], tint.offset[0]
    power = 1.0 if tint.power is None else float(tint.power[0])
    if not tint.diagonal:
        moved = np.concatenate([matrix, offset[:, None] * 255], 1)
        image = cv2.transform(image, moved).reshape(*image.shape[:2], -1)
        matrix, offset = np.eye(len(matrix)), np.zeros(len(matrix))
    gains, shape = np.diagonal(matrix), image.shape
    noisy = tint.noise is not None and bool(tint.noise[0])
    gain, shift = 1.0, 0.0
    if noisy and power == 1 and (gains == gains[0]).all() and (offset == offset[0]).all():
        gain, shift = float(gains[0]), float(offset[0]) * 255  # in the same pass as the noise
    elif power != 1 or (gains != 1).any() or (offset != 0).any():
        table = (np.arange(256) / 255)[:, None] * gains + offset
        table = np.rint(table.clip(0, 1) ** power * 255).astype(np.uint8)
        same = (table == table[:, :1]).all()
        image = cv2.LUT(image, table[:, 0] if same else table[:, None]).reshape(shape)
    if noisy:
        share = float(tint.noise[0]) * 255 / 32
        noise = bank.of_bytes(shape, tint.start)
        image = cv2.addWeighted(image, gain, noise, share, shift - 128 * share).reshape(shape)
    return image


def _tint_values(image: np.ndarray, tint: Tint, max_value: float, bank: Bank) -> np.ndarray:
    values = (image.astype(np.float32) / max_value) @ tint.matrix[0].T + tint.offset[0]
    if tint.power is not None:
        values = values.clip(0, 1) ** tint.power[0]
    if tint.noise is not None and tint.noise[0]:
        values = values + bank.of(values.shape, tint.start) * tint.noise[0]
    values = values.clip(0, 1) * max_value
    return np.rint(values).astype(image.dtype) if image.dtype.kind in "iu" else values.astype(image.dtype)

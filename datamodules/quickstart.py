"""A small generated nuclei competition, in the layout of the 2018 Data Science Bowl."""

from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np

from files.atomic import atomic_folder
from files.png import write_png
from files.writing import write_csv
from masks import rle


class Generator(ABC):
    """Base class of generators of competition files."""

    @abstractmethod
    def write(self, root: Path) -> None:
        """Write all files under `root`, which does not exist yet."""


class Nuclei(Generator):
    """Images like fluorescence microscopy: uneven light, and textured, blurred, touching nuclei of varying brightness.

    Otsu's threshold performs poorly on them, as on real images; a small U-Net learns them within minutes.

    Args:
        train: number of training images.
        test: number of test images, whose targets are written to `stage1_solution.csv`.
        seed: seed of the random generator.
    """

    def __init__(self, train: int = 80, test: int = 20, seed: int = 0) -> None:
        self.train, self.test, self.seed = train, test, seed

    def write(self, root: Path) -> None:
        with atomic_folder(root) as temporary:  # an incomplete data set would look like a small one
            self._write(temporary)

    def _write(self, root: Path) -> None:
        tables: dict[str, list[tuple]] = {
            "stage1_train_labels": [("ImageId", "EncodedPixels")],
            "stage1_sample_submission": [("ImageId", "EncodedPixels")],
            "stage1_solution": [("ImageId", "EncodedPixels", "Height", "Width")],
        }
        for number in range(self.train + self.test):
            rng = np.random.default_rng([self.seed, number])
            image, labels = draw_nuclei(rng)
            image_id = rng.bytes(16).hex()
            test = number >= self.train
            folder = root / ("stage1_test" if test else "stage1_train") / image_id
            alpha = np.full((*labels.shape, 1), 255, np.uint8)
            rgba = np.concatenate([image, alpha], axis=2)
            write_png(folder / "images" / f"{image_id}.png", rgba, durable=False)
            texts = rle.encode_instances(labels)
            if test:
                tables["stage1_sample_submission"].append((image_id, "1 1"))
                tables["stage1_solution"] += [(image_id, text, *labels.shape) for text in texts.values()]
                continue
            tables["stage1_train_labels"] += [(image_id, text) for text in texts.values()]
            for instance in texts:
                mask = ((labels == instance) * 255).astype(np.uint8)
                write_png(folder / "masks" / f"{image_id}_{instance:03d}.png", mask, durable=False)
        for name, (header, *rows) in tables.items():
            write_csv(root / f"{name}.csv", header, rows)


def draw_nuclei(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image `(H, W, 3)` uint8 and its instance ids `(H, W)` int32."""
    height, width = (int(side) for side in rng.integers(128, 225, size=2))
    labels = np.zeros((height, width), np.int32)
    light = np.zeros((height, width), np.float32)
    radius = rng.uniform(6, 13)
    for _ in range(int(rng.integers(12, 34))):
        # Most nuclei are placed next to an existing one, so that many touch.
        if labels.any() and rng.random() < 0.5:
            ys, xs = np.nonzero(labels == rng.integers(1, labels.max() + 1))
            angle, distance = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.75, 2.3)
            y, x = ys.mean() + distance * np.sin(angle), xs.mean() + distance * np.cos(angle)
        else:
            y, x = rng.uniform(0, height), rng.uniform(0, width)
        nucleus = _nucleus(rng, (height, width), y, x, radius) & (labels == 0)
        if nucleus.sum() < 40:
            continue
        labels[nucleus] = labels.max() + 1
        texture = 1 + 0.22 * _smooth_noise(rng, (height, width), 3)
        light = np.where(nucleus, rng.uniform(0.35, 1.0) * texture, light)
    labels = _largest_pieces(labels)
    light = np.where(labels > 0, light, 0)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.8, 1.6))
    glow = 0.22 * cv2.GaussianBlur(light, (0, 0), 10)
    background = 0.17 + 0.06 * _smooth_noise(rng, (height, width), 40) + 0.02 * _smooth_noise(rng, (height, width), 5)
    slope = np.linspace(-0.5, 0.5, width)[None] * rng.uniform(-0.22, 0.22)
    slope = slope + np.linspace(-0.5, 0.5, height)[:, None] * rng.uniform(-0.22, 0.22)
    signal = background + glow + slope + rng.uniform(0.4, 0.62) * light
    signal = signal + rng.uniform(0.02, 0.06) * rng.standard_normal((height, width))
    tint = 1 - rng.uniform(0, 0.25, size=3) * (rng.random() < 0.3)
    image = np.clip(signal[..., None] * tint, 0, 1) * 255
    return image.astype(np.uint8), labels


def _nucleus(rng: np.random.Generator, shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    """Draw a slightly irregular ellipse as a bool mask."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    turn = rng.uniform(0, np.pi)
    along = (xs - x) * np.cos(turn) + (ys - y) * np.sin(turn)
    across = -(xs - x) * np.sin(turn) + (ys - y) * np.cos(turn)
    long_axis = radius * rng.uniform(0.8, 1.3)
    angle = np.arctan2(across, along)
    wobble = 1 + 0.06 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.04 * np.sin(5 * angle + rng.uniform(0, 6))
    return np.hypot(along / long_axis, across / (long_axis * rng.uniform(0.65, 1))) < wobble


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Return noise with a standard deviation of 1 and no detail below `scale` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), scale)
    return (noise - noise.mean()) / noise.std()


def _largest_pieces(labels: np.ndarray) -> np.ndarray:
    """Keep the largest piece of each nucleus, as another one may have split it."""
    result = np.zeros_like(labels)
    number = 0
    for instance in range(1, labels.max() + 1):
        count, pieces, facts, _ = cv2.connectedComponentsWithStats(
            (labels == instance).astype(np.uint8), connectivity=4
        )
        if count < 2:
            continue
        piece = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
        if facts[piece, cv2.CC_STAT_AREA] >= 30:
            number += 1
            result[pieces == piece] = number
    return result

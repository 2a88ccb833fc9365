"""A small nuclei competition, generated, in the Data Science Bowl's own layout."""

from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np

from files.atomic import atomic_folder
from files.png import write_png
from files.writing import write_csv
from masks import rle


class Generator(ABC):
    """Makes the files of a competition where there are none."""

    @abstractmethod
    def write(self, root: Path) -> None:
        """Write everything under `root`, which does not exist yet."""


class Nuclei(Generator):
    """Pictures like fluorescence: uneven light, textured and blurred nuclei of differing brightness that touch.

    Otsu's threshold does badly on them, as on real ones; a small U-Net learns them within minutes.

    Args:
        train: number of training images.
        test: number of test images, whose truth goes to `stage1_solution.csv`.
        seed: of everything drawn.
    """

    def __init__(self, train: int = 80, test: int = 20, seed: int = 0) -> None:
        self.train, self.test, self.seed = train, test, seed

    def write(self, root: Path) -> None:
        with atomic_folder(root) as temporary:  # half a data set would look like a small one
            self._write(temporary)

    def _write(self, root: Path) -> None:
        tables: dict[str, list[tuple]] = {
            "stage1_train_labels": [("ImageId", "EncodedPixels")],
            "stage1_sample_submission": [("ImageId", "EncodedPixels")],
            "stage1_solution": [("ImageId", "EncodedPixels", "Height", "Width")],
        }
        for number in range(self.train + self.test):
            random = np.random.default_rng([self.seed, number])
            image, labels = draw_nuclei(random)
            image_id = random.bytes(16).hex()
            test = number >= self.train
            folder = root / ("stage1_test" if test else "stage1_train") / image_id
            alpha = np.full((*labels.shape, 1), 255, np.uint8)
            picture = np.concatenate([image, alpha], axis=2)
            write_png(folder / "images" / f"{image_id}.png", picture, durable=False)
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


def draw_nuclei(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One picture `(H, W, 3)` uint8 and its instance ids `(H, W)` int32."""
    height, width = (int(side) for side in random.integers(128, 225, size=2))
    labels = np.zeros((height, width), np.int32)
    light = np.zeros((height, width), np.float32)
    radius = random.uniform(6, 13)
    for _ in range(int(random.integers(12, 34))):
        # Most nuclei are put next to one that is there, so that many touch.
        if labels.any() and random.random() < 0.5:
            ys, xs = np.nonzero(labels == random.integers(1, labels.max() + 1))
            angle, distance = random.uniform(0, 2 * np.pi), radius * random.uniform(1.75, 2.3)
            y, x = ys.mean() + distance * np.sin(angle), xs.mean() + distance * np.cos(angle)
        else:
            y, x = random.uniform(0, height), random.uniform(0, width)
        nucleus = _nucleus(random, (height, width), y, x, radius) & (labels == 0)
        if nucleus.sum() < 40:
            continue
        labels[nucleus] = labels.max() + 1
        texture = 1 + 0.22 * _smooth_noise(random, (height, width), 3)
        light = np.where(nucleus, random.uniform(0.35, 1.0) * texture, light)
    labels = _largest_pieces(labels)
    light = np.where(labels > 0, light, 0)
    light = cv2.GaussianBlur(light, (0, 0), random.uniform(0.8, 1.6))
    glow = 0.22 * cv2.GaussianBlur(light, (0, 0), 10)
    background = (
        0.17 + 0.06 * _smooth_noise(random, (height, width), 40) + 0.02 * _smooth_noise(random, (height, width), 5)
    )
    slope = np.linspace(-0.5, 0.5, width)[None] * random.uniform(-0.22, 0.22)
    slope = slope + np.linspace(-0.5, 0.5, height)[:, None] * random.uniform(-0.22, 0.22)
    signal = background + glow + slope + random.uniform(0.4, 0.62) * light
    signal = signal + random.uniform(0.02, 0.06) * random.standard_normal((height, width))
    tint = 1 - random.uniform(0, 0.25, size=3) * (random.random() < 0.3)
    image = np.clip(signal[..., None] * tint, 0, 1) * 255
    return image.astype(np.uint8), labels


def _nucleus(random: np.random.Generator, shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    """A slightly irregular ellipse as a bool mask."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    turn = random.uniform(0, np.pi)
    along = (xs - x) * np.cos(turn) + (ys - y) * np.sin(turn)
    across = -(xs - x) * np.sin(turn) + (ys - y) * np.cos(turn)
    long_axis = radius * random.uniform(0.8, 1.3)
    angle = np.arctan2(across, along)
    wobble = 1 + 0.06 * np.sin(3 * angle + random.uniform(0, 6)) + 0.04 * np.sin(5 * angle + random.uniform(0, 6))
    return np.hypot(along / long_axis, across / (long_axis * random.uniform(0.65, 1))) < wobble


def _smooth_noise(random: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Noise with a standard deviation of 1 and no detail below `scale` pixels."""
    noise = cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), scale)
    return (noise - noise.mean()) / noise.std()


def _largest_pieces(labels: np.ndarray) -> np.ndarray:
    """Each nucleus reduced to its largest piece: one that another covers may have been cut in two."""
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

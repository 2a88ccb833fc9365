"""Separate touching objects by watershed on body and border."""

import numpy as np
from skimage.segmentation import watershed

from postprocessing.components import label
from postprocessing.step import Step, named, plane


class Watershed(Step):
    """Instances from the probabilities of bodies and of touching borders.

    Seeds are the components of body · (1 − border) > `seed`; they grow downhill over −body inside body > `mask`
    (2018 Data Science Bowl, 1st place, topcoders).

    Args:
        body: name of the body probabilities `(1, H, W)`.
        border: name of the border probabilities; where the prediction has none, seeds come from the body alone.
        seed: lower bound of body · (1 − border) inside a seed.
        mask: lower bound of body inside an object.
        minimum_seed: seeds of fewer pixels are dropped.
        keep_unseeded: a piece of the mask without any seed is an object of its own instead of lost.
        result: name of the ids `(H, W)` int32.
    """

    def __init__(
        self,
        body: str = "body",
        border: str = "border",
        seed: float = 0.6,
        mask: float = 0.5,
        minimum_seed: int = 10,
        keep_unseeded: bool = True,
        result: str = "instances",
    ) -> None:
        self.body, self.border, self.seed, self.mask = body, border, seed, mask
        self.minimum_seed, self.keep_unseeded, self.result = minimum_seed, keep_unseeded, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        body = plane(named(prediction, self.body, self), self.body, self)
        inside = body > self.mask
        score = body
        if self.border in prediction:
            score = body * (1 - plane(prediction[self.border], self.border, self))
        seeds = label((score > self.seed) & inside)
        big = np.bincount(seeds.ravel()) >= self.minimum_seed
        big[0] = False
        seeds = np.where(big[seeds], seeds, 0)
        if self.keep_unseeded:
            pieces = label(inside)
            seeded = np.zeros(int(pieces.max()) + 1, bool)
            seeded[pieces[seeds > 0]] = True
            seeded[0] = True
            alone = ~seeded[pieces]
            seeds = np.where(alone, pieces + int(seeds.max()), seeds)
        # Whole numbers make the flooding several times faster and lose nothing that a stored probability had.
        height = (255 * (1 - body)).astype(np.uint8)
        return prediction | {self.result: watershed(height, seeds, mask=inside).astype(np.int32)}

    def search_space(self) -> dict[str, list]:
        return {
            "seed": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            "mask": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7],
            "minimum_seed": [1, 5, 10, 20, 40],
        }

"""Separation of touching objects by a watershed on body and border."""

import cv2
import numpy as np

from masks.components import label
from postprocessing.area import without_small
from postprocessing.step import Step, probability_map
from predictions.quantiser import to_steps


class Watershed(Step):
    """Instances from probabilities of bodies and of touching borders.

    Seeds are the components (joined by edges and corners) of body · (1 − border) > `seed_threshold`; they are flooded
    downhill over −body inside body > `mask_threshold` (2018 Data Science Bowl, 1st place, topcoders).

    Args:
        body: name of the body probabilities `(1, H, W)`.
        border: name of the border probabilities `(1, H, W)`; null: seeds from the body alone.
        seed_threshold: threshold of body · (1 − border) for seeds.
        mask_threshold: threshold of body for objects.
        min_seed_size: smallest seed to keep, in pixels.
        keep_unseeded: whether a component of the mask without a seed becomes an object instead of being lost.
        line: whether to leave a line of background between touching objects.
        grow: pixels by which objects finally grow where body > `grow_above` (default: 0). The 1st place seeded at 0.5,
            flooded above 70 / 255, and dilated by 7 x 7 pixels, which is 3 to each side, above 90 / 255.
        grow_above: threshold of body for `grow`.
        result: name of the ids `(H, W)` int32.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Watershed
        >>> body = np.zeros((1, 16, 32), np.float32)
        >>> body[:, 2:14, 2:30] = 0.95
        >>> border = np.zeros_like(body)
        >>> border[:, :, 15:17] = 0.9  # two cells touch here
        >>> int(Watershed()({"body": body, "border": border})["instances"].max())
        2
    """

    def __init__(
        self,
        body: str = "body",
        border: str | None = "border",
        seed_threshold: float = 0.6,
        mask_threshold: float = 0.5,
        min_seed_size: int = 10,
        keep_unseeded: bool = True,
        line: bool = False,
        grow: int = 0,
        grow_above: float = 0.35,
        result: str = "instances",
    ) -> None:
        if grow < 0:
            raise ValueError(f"Watershed: grow is {grow}, expected 0 or more pixels")
        self.line, self.grow, self.grow_above = line, grow, grow_above
        self.body, self.border, self.seed_threshold, self.mask_threshold = body, border, seed_threshold, mask_threshold
        self.min_seed_size, self.keep_unseeded, self.result = min_seed_size, keep_unseeded, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        body = probability_map(prediction, self.body, self)
        score = body if self.border is None else body * (1 - probability_map(prediction, self.border, self))
        inside = body > self.mask_threshold
        seeds = without_small(label((score > self.seed_threshold) & inside, 2), self.min_seed_size)
        pieces = label(inside)
        if self.keep_unseeded:
            seeded = np.zeros(int(pieces.max()) + 1, bool)
            seeded[0] = True
            seeded[pieces[seeds > 0]] = True
            seeds = np.where(seeded[pieces], seeds, pieces + seeds.max())
        if not seeds.any():
            return prediction | {self.result: np.zeros(body.shape, np.int32)}
        # Bytes flood several times faster than floats, and represent a uint8 store exactly.
        height = to_steps(1 - body)
        ids = flood(height, seeds, pieces, self.line)
        if self.grow:
            ids = np.where(inside | (body > self.grow_above), np.where(ids > 0, ids, self._grown(ids)), 0)
        return prediction | {self.result: ids.astype(np.int32, copy=False)}

    def _grown(self, ids: np.ndarray) -> np.ndarray:
        """Extend objects to pixels within reach; lines between objects stay."""
        from skimage.segmentation import expand_labels

        grown = expand_labels(ids, self.grow)
        if not self.line:
            return grown
        lowest, highest = (
            change(np.where(grown > 0, grown, none).astype(np.float64), np.ones((3, 3), np.uint8))
            for change, none in ((cv2.erode, grown.max() + 1), (cv2.dilate, 0))
        )
        return np.where((ids == 0) & (lowest < highest), 0, grown)

    def search_space(self) -> dict[str, list]:
        return {
            "seed_threshold": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98],
            "mask_threshold": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8],
            "min_seed_size": [1, 5, 10, 20, 40],
        }


def flood(height: np.ndarray, seeds: np.ndarray, pieces: np.ndarray, line: bool = False) -> np.ndarray:
    """Watershed of every component of a mask, ids `(H, W)` int32; components without a seed become 0.

    A component with one seed belongs to it whatever the heights, so only those with several are flooded; in an image of
    cells most have one.

    Args:
        height: heights `(H, W)`, flooded from the lowest; bytes are fast.
        seeds: seed ids `(H, W)`; two seeds may share an id.
        pieces: ids of the components of the mask joined by edges `(H, W)`, from 1.
        line: whether to leave a line of 0 where two seeds meet.
    """
    places = np.flatnonzero(seeds)
    owners, ids = pieces.ravel()[places], seeds.ravel()[places]
    seed = np.zeros(int(pieces.max()) + 1, np.int32)
    seed[owners] = ids
    several = np.zeros(len(seed), bool)
    several[owners[seed[owners] != ids]] = True
    several[0] = seed[0] = 0
    result = np.where(several, 0, seed).astype(np.int32).take(pieces)
    if several.any():
        from skimage.segmentation import watershed  # takes half a second, few verbs need it

        contested = several.take(pieces)
        rows, columns = (np.flatnonzero(contested.any(axis)) for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # watershed ignores seeds outside its mask
        result[box] += watershed(height[box], seeds[box], mask=contested[box], watershed_line=line).astype(np.int32)
    return result

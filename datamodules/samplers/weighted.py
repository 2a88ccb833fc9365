"""Weighted sampling by the rarity of classes."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, classes_of


class Weighted(Order):
    """Draws with replacement, image i with a probability proportional to 1 / frequency(its class)^alpha.

    Args:
        column: column of the class, from a CSV in `data.metadata`, or `folder`.
        alpha: exponent: 1 draws all classes equally often, 0 all images equally often, 0.5 is between them.
        separator: separator of several classes in one field; the image is drawn by its rarest class.
        correct_loss: whether to multiply the loss of image i by 1 / (N p_i), so that the expected gradient is that of
            uniform draws: importance sampling, with less noise for rare classes and no bias towards them.

    Raises:
        ValueError: if alpha is negative.
    """

    def __init__(
        self, column: str, alpha: float = 1.0, separator: str | None = None, correct_loss: bool = False
    ) -> None:
        if alpha < 0:
            raise ValueError(f"Weighted: alpha is {alpha}, expected 0 or more")
        self.column, self.alpha, self.separator, self.correct_loss = column, alpha, separator, correct_loss
        self.probabilities = np.empty(0)

    def prepare(self, table: pd.DataFrame) -> None:
        classes = classes_of(table, self.column, self.separator, "Weighted")
        names, counts = np.unique(np.concatenate([np.unique(each) for each in classes]), return_counts=True)
        count = dict(zip(names.tolist(), counts.tolist(), strict=True))
        rarest = np.array([min(count[name] for name in each) for each in classes], np.float64)
        weights = rarest**-self.alpha
        self.probabilities = weights / weights.sum()

    def batches(self, batch_size: int, repeats: int) -> int:
        return max(1, len(self.probabilities) * repeats // batch_size)

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        shape = self.batches(batch_size, repeats), batch_size
        return rng.choice(len(self.probabilities), shape, p=self.probabilities)

    def weights(self) -> np.ndarray | None:
        return 1 / (len(self.probabilities) * self.probabilities) if self.correct_loss else None

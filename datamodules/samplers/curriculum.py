"""Curriculum: easy images first."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.samplers.order import Order, classes_of
from files.tables import numbers_of, read_csv


class Curriculum(Order):
    """Draws the first epochs from the easiest images only, and later ones from more of them, finally from all.

    The fixed exponential pacing of Hacohen & Weinshall 2019 (https://arxiv.org/abs/1904.03626): epoch t draws from the
    easiest `start` * `increase` ^ floor(t / `every`) of the images. Every epoch has the usual number of steps.

    Args:
        scores: CSV with `image_id` and `column` for every training image, from a model not trained on it: the
            `out_of_fold.csv` of `crossval`, the `scores.csv` of a run.
        column: column that measures how easy an image is.
        higher_is_easier: True for scores, False for losses.
        start: share of the images in the first epochs.
        increase: factor by which the share grows at each step.
        every: epochs per step.
        balance: column of classes, from each of which the same share is drawn. None draws the easiest of all.
        anti: whether to begin with the hardest images, as a control.

    Raises:
        ValueError: if a share or factor is out of range, or the CSV lacks a column or an image.
    """

    def __init__(
        self,
        scores: str,
        column: str = "score",
        higher_is_easier: bool = True,
        start: float = 0.04,
        increase: float = 1.9,
        every: int = 1,
        balance: str | None = None,
        anti: bool = False,
    ) -> None:
        if not 0 < start <= 1 or increase <= 1 or every < 1:
            raise ValueError(
                f"Curriculum: start is {start}, increase {increase}, every {every}; expected start in (0, 1], increase "
                "above 1 and every 1 or more"
            )
        self.scores, self.column, self.higher_is_easier = scores, column, higher_is_easier
        self.start, self.increase, self.every, self.balance, self.anti = start, increase, every, balance, anti
        self.groups: list[np.ndarray] = []  # rows of each class, easiest first
        self.size = 0

    def prepare(self, table: pd.DataFrame) -> None:
        path = Path(self.scores)
        if not path.is_file():
            raise ValueError(f"Curriculum: file {path} does not exist; `python cli.py crossval` writes out_of_fold.csv")
        known = read_csv(path)
        if not {"image_id", self.column} <= set(known.columns):
            raise ValueError(
                f"Curriculum: {path} has the columns {list(known.columns)}, expected image_id, {self.column}"
            )
        values = numbers_of(known[self.column], f"Curriculum: {path}, column {self.column}", empty=True)
        ids = matched(known["image_id"], table, ".", f"Curriculum: {path}", others="ignore")
        known = values.groupby(ids).mean()
        found = table["image_id"].map(known)
        if found.isna().any():
            raise ValueError(
                f"Curriculum: {path} has no {self.column} for {int(found.isna().sum())} of {len(table)} training "
                f"images; the first is {table['image_id'][found.isna()].iloc[0]!r}"
            )
        easiness = found.to_numpy(float) * (1 if self.higher_is_easier else -1) * (-1 if self.anti else 1)
        order = np.argsort(-easiness, kind="stable")
        if self.balance is None:
            self.groups = [order]
        else:
            names = np.array([str(each[0]) for each in classes_of(table, self.balance, None, "Curriculum")])
            self.groups = [order[names[order] == name] for name in np.unique(names)]
        self.size = len(table)

    def share(self, epoch: int) -> float:
        """Return the share of images from which an epoch draws."""
        return min(1.0, self.start * self.increase ** (epoch // self.every))

    def batches(self, batch_size: int, repeats: int) -> int:
        return max(1, self.size * repeats // batch_size)

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        total = self.batches(batch_size, repeats) * batch_size
        pool = np.concatenate([rows[: max(1, round(self.share(epoch) * len(rows)))] for rows in self.groups])
        rounds = [rng.permutation(pool) for _ in range(-(-total // len(pool)))]
        return np.concatenate(rounds)[:total].reshape(-1, batch_size)

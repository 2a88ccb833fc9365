"""Pairs of images, for networks that say whether two show the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.base import BaseDataModule
from datamodules.dataset import EvaluationDataset, TrainingDataset
from datamodules.loaders import evaluation_loader, next_epoch, training_loader, worker_count
from datamodules.plain.pairs import PairData
from datamodules.samplers import Draw
from datamodules.samplers.hard_pairs import HardPairSampler, PairDraw, fixed_pairs


class TrainingPairs(Dataset):
    """Pairs of augmented samples: `image`, `other`, and `same` `(1,)`, 1 where they are of one class.

    Args:
        samples: the single samples.
    """

    def __init__(self, samples: TrainingDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: PairDraw) -> dict[str, Any]:
        # A seed each: the same augmentation on both sides would be something to learn.
        other_seed = int(np.random.default_rng([draw.seed, 3]).integers(2**31))
        one, other = self.samples[Draw(draw.index, draw.seed)], self.samples[Draw(draw.other, other_seed)]
        return pair_of(one, other, draw.same)


class EvaluationPairs(Dataset):
    """Fixed pairs of images as they are, under the id `<one>~<other>`.

    Args:
        samples: the single samples.
        pairs: `(P, 2)` numbers of images.
        same: `(P,)` whether they are of one class.
    """

    def __init__(self, samples: EvaluationDataset, pairs: np.ndarray, same: np.ndarray) -> None:
        self.samples, self.pairs, self.same = samples, pairs, same

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        one, other = self.pairs[index]
        return pair_of(self.samples[int(one)], self.samples[int(other)], bool(self.same[index]))


def pair_of(one: dict[str, Any], other: dict[str, Any], same: bool) -> dict[str, Any]:
    """The sample of a pair: the first's image and weight, the other's image, and whether they are of one class."""
    return {
        "image_id": f"{one['image_id']}~{other['image_id']}",
        "image": one["image"],
        "other": other["image"],
        "original_size": one["original_size"],
        "weight": one["weight"] * other["weight"],
        "same": torch.tensor([float(same)]),
    }


class PairDataModule(PairData, BaseDataModule):
    """Pictures in pairs, by the class that one target of kind `single` gives each: `image`, `other` and target `same`.

    Each epoch has every image once with one of its class and once with a stranger; `callbacks.HardPairs` makes these
    the hardest. Validation has the same kinds of pairs, fixed by the seed. What is predicted is single images: their
    features, to be compared with those of any other (`lightning_modules.PairModule`).

    Its arguments are those of `BaseDataModule`, and `reader` may be any.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.samples_per_image != 1 or self.windows is not None:
            raise ValueError(
                "pairs are made of whole images, one pair a draw; leave data.samples_per_image and data.windows out"
            )
        self.pair_sampler: HardPairSampler | None = None
        self.planner: Callable[[HardPairSampler], None] | None = None  # set by `callbacks.HardPairs`

    def train_dataloader(self) -> DataLoader:
        singles = TrainingDataset(
            self.split_table("train"), self._decoded, self.targets, self.augmentation, self.features
        )
        sampler = HardPairSampler(self.classes("train"), self.seed)
        sampler.set_epoch(next_epoch(self.trainer))
        if self.pair_sampler is not None:  # loaders that are made anew between epochs go on with the plan
            sampler.load_state_dict(self.pair_sampler.state_dict())
        self.pair_sampler = sampler
        if self.planner is not None:
            self.planner(sampler)
        return training_loader(TrainingPairs(singles), sampler, self.batch_size, worker_count(self.num_workers))

    def val_dataloader(self) -> DataLoader | list:
        if self.fold == "all":
            return []
        singles = EvaluationDataset(self.split_table("val"), self._decoded, self.targets, self.features)
        pairs, same = fixed_pairs(self.classes("val"), self.seed)
        dataset = EvaluationPairs(singles, pairs, same)
        return evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers))

    def scored_dataloader(self) -> DataLoader:
        """The training images as they are, in order, for whoever scores all pairs."""
        return self._evaluation("train", self._decoded, [])

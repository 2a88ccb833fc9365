"""Pairs of images, for networks that decide whether both show the same class."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.base import BaseDataModule
from datamodules.dataset import EvaluationDataset, TrainingDataset
from datamodules.loaders import evaluation_loader, next_batch, training_loader, worker_count
from datamodules.plain.pairs import PairData
from datamodules.samplers import Draw
from datamodules.samplers.hard_pairs import HardPairSampler, PairDraw, fixed_pairs


class TrainingPairs(Dataset):
    """Pairs of augmented samples: `image`, `other`, and `same` `(1,)`, 1 for the same class.

    Args:
        samples: data set of single samples.
    """

    def __init__(self, samples: TrainingDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: PairDraw) -> dict[str, Any]:
        # Separate seeds: the network could learn from identical augmentation of both images.
        other_seed = int(np.random.default_rng([draw.seed, 3]).integers(2**31))
        one, other = self.samples[Draw(draw.index, draw.seed)], self.samples[Draw(draw.other, other_seed)]
        return pair_of(one, other, draw.same)


class EvaluationPairs(Dataset):
    """Fixed pairs of images without augmentation, with the id `<one>~<other>`.

    Args:
        samples: data set of single samples.
        pairs: `(P, 2)` indices of images.
        same: `(P,)` whether both are of the same class.
    """

    def __init__(self, samples: EvaluationDataset, pairs: np.ndarray, same: np.ndarray) -> None:
        self.samples, self.pairs, self.same = samples, pairs, same

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        one, other = self.pairs[index]
        return pair_of(self.samples[int(one)], self.samples[int(other)], bool(self.same[index]))


def pair_of(one: dict[str, Any], other: dict[str, Any], same: bool) -> dict[str, Any]:
    """Return the sample of a pair: id, size and weight, both images, and whether they are of the same class."""
    return {
        "image_id": f"{one['image_id']}~{other['image_id']}",
        "image": one["image"],
        "other": other["image"],
        "original_size": one["original_size"],
        "weight": one["weight"] * other["weight"],
        "same": torch.tensor([float(same)]),
    }


class PairDataModule(PairData, BaseDataModule):
    """Images in pairs, by the class of one target of kind `single`: `image`, `other` and target `same`.

    Each epoch pairs every image once with one of its class and once with one of another class; `callbacks.HardPairs`
    makes these the hardest. Validation uses the same kinds of pairs, fixed by the seed. Prediction is of single images:
    their features, to be compared with those of any other (`lightning_modules.PairModule`).

    Arguments are those of `BaseDataModule`; `reader` may be any reader.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.samples_per_image != 1 or self.windows is not None:
            raise ValueError(
                "pairs use whole images, one pair per draw; remove data.samples_per_image and data.windows"
            )
        self.pair_sampler: HardPairSampler | None = None
        self.planner: Callable[[HardPairSampler], None] | None = None  # set by `callbacks.HardPairs`

    def train_dataloader(self) -> DataLoader:
        singles = TrainingDataset(
            self.split_table("train"), self._decoded, self.targets, self.augmentation, self.features
        )
        sampler = HardPairSampler(self.image_classes("train"), self.seed)
        epoch, batches = next_batch(self.trainer)
        sampler.set_epoch(epoch)
        sampler.leave_out(epoch, batches * self.batch_size)
        if self.pair_sampler is not None:  # loaders recreated between epochs continue the plan
            sampler.load_state_dict(self.pair_sampler.state_dict())
        self.pair_sampler = sampler
        if self.planner is not None:
            self.planner(sampler)
        return training_loader(TrainingPairs(singles), sampler, self.batch_size, worker_count(self.num_workers))

    def val_dataloader(self) -> DataLoader | list:
        if self.fold == "all":
            return []
        singles = EvaluationDataset(self.split_table("val"), self._decoded, self.targets, self.features)
        pairs, same = fixed_pairs(self.image_classes("val"), self.seed)
        dataset = EvaluationPairs(singles, pairs, same)
        return evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers))

    def scored_dataloader(self) -> DataLoader:
        """Return a loader of the training images without augmentation, in order, to score all pairs."""
        return self._evaluation("train", self._decoded, [])

"""Siamese network: whether two images show the same class."""

import torch
from torch import Tensor, nn


class Siamese(nn.Module):
    """Two images `(N, C, H, W)` -> logits `(N, 1)` of "the same class", independent of their order.

    As in kernels of Humpback Whale 2018/19: |a − b|, (a − b)², a · b and a + b of each feature go through a small
    network shared by all features, and a linear layer weights the results. Use it with `model.inputs: [image, other]`
    (set by `lightning_modules.PairModule`) and `datamodules.PairDataModule`, which builds the pairs.

    Args:
        branch: network that returns features `(N, F)`: `networks.ImageClassifier` with `classes: 0` (max-pooled in the
            kernels), or any other with an attribute `num_features`.
        middle: number of hidden units of the shared network; 32 in the kernels.
        features: number F of features, if the branch has no attribute `num_features`.

    Raises:
        ValueError: the number of features is unknown.
    """

    def __init__(self, branch: nn.Module, middle: int = 32, features: int | None = None) -> None:
        super().__init__()
        known = features if features is not None else getattr(branch, "num_features", None)
        if not isinstance(known, int):
            raise ValueError(
                f"Siamese: {type(branch).__name__} has no attribute num_features; set features, or use "
                "networks.ImageClassifier with classes: 0 as the branch"
            )
        self.branch, self.num_features = branch, known
        self.each = nn.Sequential(nn.Linear(4, middle), nn.ReLU(inplace=True), nn.Linear(middle, 1))
        self.weigh = nn.Linear(known, 1)

    def features(self, image: Tensor) -> Tensor:
        """Features `(N, F)` of images."""
        found = self.branch(image)
        if found.ndim != 2 or found.shape[1] != self.num_features:
            raise ValueError(
                f"Siamese: the branch returned {tuple(found.shape)}, expected (N, {self.num_features}); set its "
                "classes: 0"
            )
        return found

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Logits `(*, 1)` from the features `(*, F)` of two images; shapes broadcast."""
        away = one - other
        parts = torch.stack([away.abs(), away.square(), one * other, one + other], dim=-1)
        return self.weigh(self.each(parts).squeeze(-1))

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        # One pass for both, so that batch norm has common statistics.
        one, two = self.features(torch.cat([image, other])).chunk(2)
        return self.compare(one, two)

    @torch.no_grad()
    def scores(self, features: Tensor, others: Tensor | None = None, pairs: int = 2048) -> Tensor:
        """Probabilities that two images show the same class, for every pair.

        Args:
            features: features `(N, F)`.
            others: features `(M, F)` to compare with; None compares `features` with one another, each pair once.
            pairs: number of pairs per batch. They need 4 · pairs · F · `middle` bytes: 0.1 GB for 2048 pairs of 512
                features.

        Returns:
            Probabilities `(N, M)`, or `(N, N)`.
        """
        columns = features if others is None else others
        found = features.new_empty(len(features), len(columns))
        for row, one in enumerate(features):
            start = row if others is None else 0
            parts = [self.compare(one, part).squeeze(-1) for part in columns[start:].split(pairs)]
            if parts:
                found[row, start:] = torch.cat(parts).sigmoid()
        return found if others is not None else found.triu() + found.triu(1).T

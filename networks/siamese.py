"""Whether two images show the same: one encoder for both, compared feature by feature."""

import torch
from torch import Tensor, nn


class Siamese(nn.Module):
    """`(N, C, H, W)` twice -> logits `(N, 1)` of "the same class"; equal whichever image comes first.

    The kernels of Humpback Whale 2018/19: for each feature |a − b|, (a − b)², a · b and a + b go through one small
    network, the same for all features, whose answers a last linear layer weighs. Call it with
    `model.inputs: [image, other]` (`lightning_modules.PairModule` does); `datamodules.PairDataModule` makes the pairs.

    Args:
        branch: a network with features: `networks.ImageClassifier` with `classes: 0` (there it was max-pooled), or any
            other that returns `(N, F)` and has an attribute `num_features`.
        middle: hidden units of the network over a feature; 32 there.
        features: F, where the branch has no attribute `num_features`.

    Raises:
        ValueError: the number of features is not known.
    """

    def __init__(self, branch: nn.Module, middle: int = 32, features: int | None = None) -> None:
        super().__init__()
        known = features if features is not None else getattr(branch, "num_features", None)
        if not isinstance(known, int):
            raise ValueError(
                f"Siamese: {type(branch).__name__} does not say how many features it returns; set features, or take "
                "networks.ImageClassifier with classes: 0 as the branch"
            )
        self.branch, self.num_features = branch, known
        self.each = nn.Sequential(nn.Linear(4, middle), nn.ReLU(inplace=True), nn.Linear(middle, 1))
        self.weigh = nn.Linear(known, 1)

    def features(self, image: Tensor) -> Tensor:
        """What the branch makes of images, `(N, F)`."""
        found = self.branch(image)
        if found.ndim != 2 or found.shape[1] != self.num_features:
            raise ValueError(
                f"Siamese: the branch returned {tuple(found.shape)}, expected (N, {self.num_features}); give it "
                "classes: 0"
            )
        return found

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Logits `(*, 1)` from features `(*, F)` of two images each; shapes broadcast."""
        away = one - other
        parts = torch.stack([away.abs(), away.square(), one * other, one + other], dim=-1)
        return self.weigh(self.each(parts).squeeze(-1))

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        # One pass for both, so that batch norm sees what the two sides have in common.
        one, two = self.features(torch.cat([image, other])).chunk(2)
        return self.compare(one, two)

    @torch.no_grad()
    def scores(self, features: Tensor, others: Tensor | None = None, pairs: int = 2048) -> Tensor:
        """Probabilities that images show the same, for every pair.

        Args:
            features: `(N, F)`.
            others: `(M, F)` to compare each of the N with; None compares them with one another, each pair once.
            pairs: compared at a time. They take 4 · pairs · F · `middle` bytes: 0.1 GB for 2048 pairs of 512 features.

        Returns:
            `(N, M)`, or `(N, N)`.
        """
        columns = features if others is None else others
        found = features.new_empty(len(features), len(columns))
        for row, one in enumerate(features):
            start = row if others is None else 0
            parts = [self.compare(one, part).squeeze(-1) for part in columns[start:].split(pairs)]
            if parts:
                found[row, start:] = torch.cat(parts).sigmoid()
        return found if others is not None else found.triu() + found.triu(1).T

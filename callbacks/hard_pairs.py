"""Hard negative mining of pairs: the current network scores all pairs of training images."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from datamodules.pairs import PairDataModule
from datamodules.samplers.hard_pairs import HardPairSampler
from lightning_modules.pairs import PairModule


class HardPairs(pl.Callback):
    """Plans the negatives of the next epochs by the network's scores (Humpback Whale 2018/19).

    Before epoch 0, `every`, 2 · `every`, … the features of all training images are computed (shared among ranks), all
    pairs are scored, and a linear assignment gives each image its hardest negative for each of the next epochs, without
    repeating a pair. The noise added to the scores (in [0, 1]) decreases with each scoring, so that the first pairs are
    random and later ones the hardest. Checkpoints hold the planned pairs, so a resumed run continues with them.

    It needs `data.class_path: datamodules.PairDataModule`, `model.class_path: lightning_modules.PairModule` and a
    network with `scores`: `networks.Siamese`.

    Args:
        every: number of epochs between scorings; 5 in the source.
        noise: amplitude of the noise at the first scoring; 1000 in the source, which makes pairs random.
        decay: factor of the noise per scoring, in [0, 1]; 0.63 in the source (100 to the power −0.1).
        pairs: number of pairs per batch; fewer need less memory (see `Siamese.scores`).

    Raises:
        ValueError: an argument is out of its range, or the datamodule, module or network is of another class.
    """

    def __init__(self, every: int = 5, noise: float = 1000.0, decay: float = 0.63, pairs: int = 2048) -> None:
        if every < 1 or noise < 0 or not 0 <= decay <= 1 or pairs < 1:
            raise ValueError(
                f"HardPairs: every is {every}, noise {noise}, decay {decay}, pairs {pairs}; expected every >= 1, "
                "noise >= 0, decay in [0, 1], pairs >= 1"
            )
        self.every, self.noise, self.decay, self.pairs = every, noise, decay, pairs
        self._sampler: HardPairSampler | None = None
        self._resumed: dict[str, Any] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not isinstance(trainer.datamodule, PairDataModule):
            raise ValueError(
                f"HardPairs: data is {type(trainer.datamodule).__name__}, expected datamodules.PairDataModule"
            )
        if not isinstance(pl_module, PairModule) or not hasattr(pl_module.network, "scores"):
            raise ValueError(
                f"HardPairs: {type(pl_module).__name__} with {type(pl_module.network).__name__} cannot score pairs; "
                "use lightning_modules.PairModule with networks.Siamese"
            )
        # A loader with workers draws its first pairs when it is created, before any hook of the first epoch.
        trainer.datamodule.planner = lambda sampler: self.plan_if_due(trainer, pl_module, sampler)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.plan_if_due(trainer, pl_module, trainer.datamodule.pair_sampler)

    def plan_if_due(self, trainer: pl.Trainer, module: PairModule, sampler: HardPairSampler) -> None:
        """Score all pairs and plan the epochs until the next scoring, unless this epoch is already planned."""
        self._sampler, epoch = sampler, trainer.current_epoch
        if self._resumed is not None:
            sampler.load_state_dict(self._resumed)
            self._resumed = None
        if sampler.is_planned(epoch):
            return
        features = self.all_features(trainer, module)
        if trainer.is_global_zero:  # the same pairs for all ranks, whose devices may round differently
            scores = module.network.scores(features, pairs=self.pairs).float().cpu().numpy()
            sampler.plan(scores, epoch, self.every, self.noise * self.decay ** (epoch // self.every))
        sampler.load_state_dict(trainer.strategy.broadcast(sampler.state_dict()))

    def all_features(self, trainer: pl.Trainer, module: PairModule) -> Tensor:
        """Features `(N, F)` of all training images, in their order, on the module's device."""
        parts = list(module.modules())
        modes = [part.training for part in parts]
        module.eval()
        try:
            found = [
                module.image_features(image.to(module.device), tta=False)
                for batch in trainer.datamodule.scored_dataloader()
                for image in batch["image"]
            ]
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
        # (ranks, images of a rank, F): rank r computes the images r, r + ranks, r + 2 ranks, …
        shares = module.all_gather(torch.stack(found)).reshape(trainer.world_size, len(found), -1)
        return shares.transpose(0, 1).flatten(0, 1)[: len(trainer.datamodule.split_table("train"))]

    def state_dict(self) -> dict[str, Any]:
        return {} if self._sampler is None else {"sampler": self._sampler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict.get("sampler")

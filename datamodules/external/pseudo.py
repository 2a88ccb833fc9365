"""Pseudo-labels from `cli.py pseudo`, as rows for training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.external.base import ExternalData
from datamodules.readers import Reader
from datamodules.row import Row
from datamodules.targets import Target
from evaluation.folds import folds_hash, read_folds
from files.tables import read_csv
from files.texts import read_json
from masks.void import VOID
from predictions.quantiser import STEPS, from_steps, to_steps

SOFT = "_soft"  # suffix of a mask's probabilities, in steps of 1/255, which can be augmented


class PseudoArrays(Target):
    """The arrays of a row's label file: targets as read from files, and `valid` for pixels the teacher was sure of."""

    def files(self, row: Row) -> list[Path]:
        return [Path(row.labels)]

    def read(self, row: Row, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        with np.load(row.labels, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        for name, array in arrays.items():
            if array.ndim >= 2 and array.shape[-len(size) :] != tuple(size):
                raise ValueError(f"{row.labels}: {name} is {array.shape}, its image {row.image_id!r} is {tuple(size)}")
        return arrays


class PseudoLabels(ExternalData):
    """Unlabelled images with predictions of a previous run as labels.

    Every fold has its own labels: training of fold k uses those of the only teacher that was trained with the same
    folds file and validated fold k too. All other teachers were trained on targets of fold k, and their labels would
    leak them into the training of the model that is validated on fold k. `fit` sets `fold` and `folds`.

    Args:
        root: output folder of `pseudo`.
        weight: factor of the rows' own weights in the loss.
        source: name of the data set.
        fold: validated fold (default: `data.fold`).
        folds: folds file (default: `data.folds`).
        reader: image reader, if the config's reader does not fit.

    Raises:
        FileNotFoundError: if there are no labels.
        ValueError: if the labels are for another fold, or other folds.
    """

    def __init__(
        self,
        root: str,
        weight: float = 1.0,
        source: str = "pseudo",
        fold: int | Literal["all", "given"] | None = None,
        folds: str | None = None,
        reader: Reader | None = None,
    ) -> None:
        super().__init__(root, weight, source, reader, [PseudoArrays()])
        self.fold, self.folds = fold, folds

    def table(self) -> pd.DataFrame:
        manifest = read_json(self.file("manifest.json"))
        if self.fold is None:
            raise ValueError("PseudoLabels: fold is not set; set it to the fold validated in this training (data.fold)")
        entry = manifest["folds"].get(str(self.fold))
        if entry is None:
            raise ValueError(
                f"{self.root} has no labels for training fold {self.fold}, only for {sorted(manifest['folds'])}; their "
                f"teacher must be a run of fold {self.fold}"
            )
        if self.fold != "all":
            known = self.fold if isinstance(self.fold, str) else folds_hash(read_folds(str(self.folds)))
            if known != entry["folds_hash"]:
                raise ValueError(
                    f"{self.root} was made with other folds than {self.folds}: its teacher of fold {self.fold} was "
                    "trained on images that this run validates. Restore that folds file, or make the labels again"
                )
        rows = read_csv(self.file(entry["table"]))
        rows["labels"] = [str(Path(self.root) / name) for name in rows["labels"]]
        weights = rows["weight"].astype(float) * self.weight
        return self.named(rows).assign(weight=weights)


class SoftLabels(Target):
    """The last target of a training with soft pseudo-labels: replaces hard labels by probabilities.

    Masks are integers during augmentation, so probabilities are separate uint8 arrays. Class numbers become one channel
    per class, also for real images, as supported by `cross_entropy`; validation keeps class numbers.

    Args:
        names: names of the masks that have probabilities: `(K, *spatial)`, or class numbers `(*spatial)`.
        classes: number of classes of each target of class numbers; `255` is void.

    Raises:
        ValueError: if a class number is too large.
    """

    training_only = True

    def __init__(self, names: list[str], classes: dict[str, int] | None = None) -> None:
        self.names, self.classes = names, classes or {}

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        valid = [sample["valid"]] if "valid" in sample else []
        for name in self.names:
            if name in self.classes:
                continue
            if name + SOFT in sample:
                found[name] = from_steps(sample[name + SOFT])
            elif name in sample:  # a row with real targets: all samples of a batch need the same arrays
                found[name + SOFT] = (sample[name] > 0).astype(np.uint8) * np.uint8(STEPS)
        for name, count in self.classes.items():
            if name in sample and not np.issubdtype(sample[name].dtype, np.floating):
                found |= of_classes(name, count, sample)
                valid += [found.pop("valid")] if "valid" in found else []
        return found | {"valid": np.logical_and.reduce(valid)} if valid else found


def of_classes(name: str, count: int, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return class numbers `(*spatial)` as probabilities `(K, *spatial)` float32: the teacher's, else one-hot.

    Args:
        name: name of the target.
        count: K.
        sample: sample with the target and, optionally, its probabilities under `<name>_soft`.

    Returns:
        Both arrays, and `valid` if some pixels have no class.
    """
    number = sample[name].astype(np.int64)
    counted = number != VOID
    if (number[counted] >= count).any() or (number < 0).any():
        wrong = number[counted & ((number >= count) | (number < 0))]
        raise ValueError(f"SoftLabels: {name!r} has class {wrong[0]}, expected 0 to {count - 1}; check classes")
    hot = np.stack([number == each for each in range(count)]).astype(np.float32)
    if number.ndim == 0:
        return {name: hot}
    soft = sample.get(name + SOFT)
    if soft is not None:
        total = soft.sum(0, dtype=np.float32)  # steps of 1/255 do not sum to 1, and outside the image they are 0
        hot = np.where(total > 0, soft / np.maximum(total, 1), hot).astype(np.float32)
        counted = counted | (total > 0)
    found = {name: hot, name + SOFT: soft if soft is not None else to_steps(hot)}
    return found if counted.all() else found | {"valid": counted}

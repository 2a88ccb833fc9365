"""Inputs of `stack`: images, the members' predictions, targets and folds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.decoder import derive
from datamodules.table import rows_of
from datamodules.targets import Labels, LongLabels
from ensembling.blend import Blend
from ensembling.members import OUT_OF_FOLD, Arrays, Member, MemberSplit, common_ids
from ensembling.stacking.features import labels_of
from ensembling.weights import parts_of
from evaluation.folds import read_folds
from experiments.configuration import OfflineConfig


class Inputs:
    """Images of each split, with predictions, targets and groups.

    Args:
        config: config given by `--config`, else that of the first member.
        members: experiments, runs or prediction folders; empty if all features come from CSVs.
        splits: splits to predict; None uses all splits of the members, or the training and test images.

    Attributes:
        ids: image ids by split, `val` first.
        parts: predictions of the members by split.
        labels: member names used in feature names.

    Raises:
        ValueError: if there are no out-of-fold predictions, a member lacks a split or an image, or an image has no
            target.
    """

    def __init__(self, config: OfflineConfig, members: Sequence[Member], splits: Sequence[str] | None = None) -> None:
        self.config, self.members = config, list(members)
        self.labels = labels_of([member.path for member in self.members])
        config.data.prepare_data()
        table = config.data.table()
        self.rows = {row.image_id: row for row in rows_of(table)}
        self.parts: dict[str, list[MemberSplit]] = {}
        if self.members:
            for split in self._splits(splits):
                self.parts[split] = [member.open(split) for member in self.members]
            self.ids = {split: common_ids(parts, False) for split, parts in self.parts.items()}
        else:
            self.ids = {OUT_OF_FOLD: sorted(table["image_id"][table["source"] == "train"])}
            test = config.data.test_table()
            if test is not None:
                self.ids["test"] = sorted(test["image_id"])
        unknown = [one for one in self.ids[OUT_OF_FOLD] if one not in self.rows]
        if unknown:
            raise ValueError(f"image {unknown[0]!r} has an out-of-fold prediction, but is not in {config.data.images}")

    def entry(self, split: str, member: int, image_id: str, names: list[str] | None = None) -> Arrays:
        """Arrays of an image predicted by a member, averaged over folds."""
        return self.parts[split][member].entry(image_id, Blend("mean").of_runs, names)

    def target_arrays(self, image_id: str) -> Arrays:
        """Target arrays of a training image."""
        data, row = self.config.data, self.rows[image_id]
        if not all(isinstance(target, Labels | LongLabels) for target in data.targets):
            return data.target_arrays(row)
        data.prepare_targets()  # labels come from tables: image sizes are not needed
        return derive(data.targets, {key: v for target in data.targets for key, v in target.read(row, (0, 0)).items()})

    def groups(self) -> dict[str, str]:
        """Group (patient, slide) of each image in the folds file."""
        return self.config.data.groups()

    def first_level(self) -> np.ndarray:
        """Fold of each out-of-fold image `(N,)`, from the folds file or else from the first member's runs.

        If all images have the same fold, new folds are made: five, with groups not split.
        """
        ids, folds = self.ids[OUT_OF_FOLD], {}
        if self.members:
            folds = dict(self.parts[OUT_OF_FOLD][0].run)
        path = self.config.data.folds
        if path is not None and Path(path).is_file():
            table = read_folds(path)
            listed = dict(zip(table["image_id"], table["fold"].astype(int), strict=True))
            if all(listed.get(one, -1) >= 0 for one in ids):
                folds = listed
        return parts_of(ids, folds, self.groups())

    def fingerprint(self, split: str) -> list[list[str]]:
        """Fingerprints of the members' stores."""
        return [part.fingerprint() for part in self.parts.get(split, [])]

    def _splits(self, wanted: Sequence[str] | None) -> list[str]:
        every = [set(member.splits()) for member in self.members]
        lacks = next((m for m, own in zip(self.members, every, strict=True) if OUT_OF_FOLD not in own), None)
        if lacks is not None:
            raise ValueError(
                f"{lacks.path} has no out-of-fold predictions (val) to train on; write them: python cli.py predict "
                f"{lacks.path}"
            )
        if wanted is not None:
            return [OUT_OF_FOLD, *(split for split in wanted if split != OUT_OF_FOLD)]
        for member, own in zip(self.members, every, strict=True):
            missing = sorted(set().union(*every) - own)
            if missing:
                raise ValueError(
                    f"{member.path} has no predictions of {missing[0]!r}, but others do; run predict, or select the "
                    f"splits: --splits '[{', '.join(sorted(set.intersection(*every)))}]'"
                )
        return [OUT_OF_FOLD, *sorted(every[0] - {OUT_OF_FOLD})]

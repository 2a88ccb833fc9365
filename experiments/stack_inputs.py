"""What `stack` starts from: images, the members' predictions of them, truth, folds."""

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
    """The images of each split, and what is known of them.

    Args:
        config: of the first member, or the one that was given.
        members: experiments, runs, folders of predictions; none where features of a CSV are all there is.
        splits: those to predict; None: all that the members have, or the training and test images.

    Attributes:
        ids: split -> images, `val` first.
        parts: split -> the members' predictions.
        labels: what the members are called in names of features.

    Raises:
        ValueError: no out-of-fold predictions, a member that lacks a split or an image, or an image whose truth is not
            known.
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
            raise ValueError(f"image {unknown[0]!r} was predicted out of fold, but is none of {config.data.images}")

    def entry(self, split: str, member: int, image_id: str, names: list[str] | None = None) -> Arrays:
        """A member's arrays of an image, its folds averaged."""
        return self.parts[split][member].entry(image_id, Blend("mean").of_runs, names)

    def truth(self, image_id: str) -> Arrays:
        """Target arrays of a training image."""
        data, row = self.config.data, self.rows[image_id]
        if not all(isinstance(target, Labels | LongLabels) for target in data.targets):
            return data.truth(row)
        data.prepare_targets()  # labels stand in tables: no image is opened to ask for its size
        return derive(data.targets, {key: v for target in data.targets for key, v in target.read(row, (0, 0)).items()})

    def groups(self) -> dict[str, str]:
        """Image -> group (patient, slide) of the folds file."""
        return self.config.data.groups()

    def first_level(self) -> np.ndarray:
        """Fold of each out-of-fold image, `(N,)`: of the folds file, else of the first member's runs.

        Where all have the same, five parts of whole groups.
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
        """What the members' stores were made from."""
        return [part.fingerprint() for part in self.parts.get(split, [])]

    def _splits(self, wanted: Sequence[str] | None) -> list[str]:
        every = [set(member.splits()) for member in self.members]
        lacks = next((m for m, own in zip(self.members, every, strict=True) if OUT_OF_FOLD not in own), None)
        if lacks is not None:
            raise ValueError(
                f"{lacks.path} has no out-of-fold predictions (val) to learn from; write them: python cli.py predict "
                f"{lacks.path}"
            )
        if wanted is not None:
            return [OUT_OF_FOLD, *(split for split in wanted if split != OUT_OF_FOLD)]
        for member, own in zip(self.members, every, strict=True):
            missing = sorted(set().union(*every) - own)
            if missing:
                raise ValueError(
                    f"{member.path} has no predictions of {missing[0]!r}, others have; predict them, or name what to "
                    f"predict: --splits '[{', '.join(sorted(set.intersection(*every)))}]'"
                )
        return [OUT_OF_FOLD, *sorted(every[0] - {OUT_OF_FOLD})]

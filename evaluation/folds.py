"""Folds: made once, in a file; groups and duplicates are never split."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from evaluation.divide import TRAIN_ONLY, divide
from preprocessing.csv_files import read_csv
from preprocessing.files import text_hash


@dataclass
class CrossValidation:
    """How `folds` divides the training images.

    `stratify` and `group` work alone and together. A repeated K-fold has a file per repetition, which `crossval` makes:
    `folds --cv.repeat 1 --data.folds folds/<name>_repeat1.csv`.
    Rows from elsewhere (`source` other than `train`) are trained on and never validated: fold -1, unless they share a
    group with an image of the competition, whose fold they then have.

    Args:
        k: number of folds; 5, the custom of nearly every competition: a fifth is enough to score and little to lose.
        stratify: column whose values every fold shall hold in the same shares; `size` is the image's size, which often
            tells the microscope or camera, `area` the pixels of foreground. Rows without a value are a class of their
            own, which is told.
        group: column whose values are never split: patient, slide, site. Of several columns, images that agree in any
            of them stay together. Folds hold as many images each as whole groups allow; with `stratify` the largest is
            at most 1.1 times as large as without.
        duplicates: keep images with equal decoded pixels in one fold.
        seed: of the shuffling.
        kind: `kfold`; `nonuniform`, one validation fold 0 with a share of each class of `stratify` that falls with its
            size (1/10 below 50 images, 1/20 below 100, 1/50 below 1,000, 1/100 below 10,000, 1/500 below 100,000, then
            1/1000; Inclusive Images 2018, write-up 71433), all else fold -1: trained on, never validated; `given`, the
            division that the column `given` holds.
        separator: between the labels of one field of `stratify`: a space (HPA 2018, Planet), `|`. Every label is then
            spread over the folds (iterative stratification, Sechidis 2011; whole groups by
            `evaluation.whole_groups`).
        bins: cut a numeric `stratify` into so many classes of equal size, by quantiles; 0 (an empty mask) is a class of
            its own. None takes values as they are, but cuts `area` into 5.
        given: column of the author's division: fold numbers, or `true`/`val` (fold 0) and `false`/`train` (fold -1).
        repeat: which repetition of a repeated K-fold this is; each is another shuffle of the same seed.
        repeats: how many repetitions `crossval` trains (Statoil 2018's 3rd place: 30); other verbs take no notice.
        seed_per_fold: `crossval` gives every fold a division of its own, that of the repetition of its number, beside
            its own seed of training: members that differ most (TGS Salt 2018's seven folds). Images are then
            validated more than once or never.
    """

    k: int = 5
    stratify: str | None = None
    group: str | list[str] | None = None
    duplicates: bool = True
    seed: int = 0
    kind: Literal["kfold", "nonuniform", "given"] = "kfold"
    separator: str | None = None
    bins: int | None = None
    given: str = "given"
    repeat: int = 0
    repeats: int = 1
    seed_per_fold: bool = False

    def groups(self) -> list[str]:
        """Columns that hold images together."""
        return [self.group] if isinstance(self.group, str) else list(self.group or [])

    def random_state(self) -> int:
        """Seed of this repetition; `seed` itself for the first."""
        return int(np.random.SeedSequence([self.seed, self.repeat]).generate_state(1)[0]) if self.repeat else self.seed


def make_folds(table: pd.DataFrame, cv: CrossValidation) -> pd.DataFrame:
    """Assign every image to a fold.

    Args:
        table: `image_id`, the columns named by `cv`, and `pixels` (hash of the decoded pixels) when duplicates count.
        cv: the settings.

    Returns:
        `image_id, fold, group`, in the table's order; fold -1 is trained on in every fold.

    Raises:
        ValueError: settings that contradict each other, a column that is not there or holds what it may not, fewer
            images or groups than folds, a fold that stays empty, or a given division that splits a group.
    """
    _check(cv)
    together = [*cv.groups(), *(["pixels"] if cv.duplicates else [])]
    for column in (cv.stratify, cv.given if cv.kind == "given" else None, *together):
        if column is not None and column not in table:
            raise ValueError(f"cv names the column {column!r}, the table has {list(table.columns)}")
    for column in cv.groups():
        unknown = int((table[column].isna() | (table[column].astype(str).str.strip() == "")).sum())
        if unknown > 1:
            warnings.warn(f"{unknown} images have no {column!r}; they stay together in one fold", stacklevel=2)
    groups = join_groups(table, together)
    own = (table["source"] == "train").to_numpy() if "source" in table else np.ones(len(table), bool)
    folds = divide(table[own].reset_index(drop=True), groups[own].reset_index(drop=True), cv)
    fold_of = dict(zip(groups[own], folds, strict=True))
    result = groups.map(fold_of).fillna(TRAIN_ONLY).astype(int)
    return pd.DataFrame(
        {"image_id": table["image_id"].to_numpy(), "fold": result.to_numpy(), "group": groups.to_numpy()}
    )


def _check(cv: CrossValidation) -> None:
    """Refuse settings that would be without effect or without sense."""
    if cv.stratify is None and (cv.separator is not None or cv.bins is not None or cv.kind == "nonuniform"):
        what = "separator" if cv.separator is not None else "bins" if cv.bins is not None else "kind nonuniform"
        raise ValueError(f"cv.{what} needs cv.stratify: the column of the classes")
    if cv.separator is not None and cv.bins is not None:
        raise ValueError("cv.separator is for lists of labels, cv.bins for numbers; set one of them")
    if cv.separator == "":
        raise ValueError('cv.separator is empty; give what stands between two labels, such as " " or "|"')
    if cv.bins is not None and cv.bins < 2:
        raise ValueError(f"cv.bins is {cv.bins}, expected 2 or more")
    if cv.repeats < 1:
        raise ValueError(f"cv.repeats is {cv.repeats}, expected 1 or more")
    if cv.k < 2:
        raise ValueError(f"cv.k is {cv.k}, expected 2 or more folds")


def join_groups(table: pd.DataFrame, columns: list[str]) -> pd.Series:
    """One group name per row such that rows which share a value of any column share the group (union-find).

    The name is the first image id of the group, so it does not change with the order of columns.
    """
    parent = list(range(len(table)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for column in columns:
        first: dict[str, int] = {}
        for index, value in enumerate(table[column].astype(str)):
            if value in first:
                one, other = sorted((root(first[value]), root(index)))
                parent[other] = one
            else:
                first[value] = index
    ids = table["image_id"].tolist()
    return pd.Series([ids[root(index)] for index in range(len(table))], name="group")


# --- the file --------------------------------------------------------------------------------------------------------


def write_folds(folds: pd.DataFrame, path: Path) -> None:
    """Write the folds file, at once."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    folds.to_csv(temporary, index=False)
    os.replace(temporary, path)


def read_folds(path: Path | str) -> pd.DataFrame:
    """The folds file; ids stay text (`001`, `NA`).

    Raises:
        FileNotFoundError: says how to make one.
        ValueError: columns are missing, a fold is no number, an id comes twice, a group is split, or all rows are in
            fold -1.

    Returns:
        `image_id, fold, group`; rows of fold -1 are trained on in every fold and never validated.
        `attrs["grouped"]` says whether the file had groups.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no folds file {path}; make it with: python cli.py folds --config …")
    folds = read_csv(path)
    if not {"image_id", "fold"} <= set(folds.columns):
        raise ValueError(f"{path}: columns are {list(folds.columns)}, expected image_id, fold and group")
    folds.attrs["grouped"] = "group" in folds
    if "group" not in folds:
        folds["group"] = folds["image_id"]
    wrong = folds[~folds["fold"].str.fullmatch(r"\d+|-1")]
    if len(wrong):
        raise ValueError(f"{path}, row {wrong.index[0] + 2}: fold {wrong['fold'].iloc[0]!r} is no number of a fold")
    twice = folds[folds["image_id"].duplicated()]
    if len(twice):
        raise ValueError(f"{path}, row {twice.index[0] + 2}: image {twice['image_id'].iloc[0]!r} comes twice")
    folds["fold"] = folds["fold"].astype(int)
    if len(folds) and (folds["fold"] == TRAIN_ONLY).all():
        raise ValueError(f"{path}: all rows are in fold -1, which is never validated; number a fold 0")
    split = folds.groupby("group")["fold"].nunique()
    split = split[split > 1].index.tolist()
    if split:
        members = folds[folds["group"] == split[0]]
        pairs = ", ".join(f"{row.image_id} in fold {row.fold}" for row in members.head(4).itertuples())
        raise ValueError(f"{path}: {len(split)} groups lie in more than one fold, {split[0]!r} first: {pairs}")
    return folds


def groups_of(path: Path | str | None) -> dict[str, str]:
    """Image id -> group of a folds file; empty where there is none."""
    if path is None or not Path(path).is_file():
        return {}
    folds = read_folds(path)
    return dict(zip(folds["image_id"], folds["group"], strict=True))


def folds_hash(folds: pd.DataFrame) -> str:
    """Hash of which image lies in which fold, whatever the order of the rows."""
    ordered = folds.sort_values("image_id")
    return text_hash(ordered[["image_id", "fold"]].to_csv(index=False))

"""Folds: made once, in a file; groups and duplicates are never split."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from preprocessing.files import text_hash

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator


@dataclass
class CrossValidation:
    """How `folds` divides the training images.

    Args:
        k: number of folds.
        stratify: column whose values every fold shall hold in the same shares; `size` is the image's size, which often
            tells the microscope or camera.
        group: column whose values are never split: patient, slide, site.
        duplicates: keep images with equal decoded pixels in one fold.
        seed: of the shuffling.
    """

    k: int = 5
    stratify: str | None = None
    group: str | None = None
    duplicates: bool = True
    seed: int = 0


def make_folds(table: pd.DataFrame, cv: CrossValidation) -> pd.DataFrame:
    """Assign every image to a fold.

    Args:
        table: `image_id`, the columns named by `cv`, and `pixels` (hash of the decoded pixels) when duplicates count.
        cv: the settings.

    Returns:
        `image_id, fold, group`, in the table's order.

    Raises:
        ValueError: a column that is not there, or fewer images or groups than folds.
    """
    for column in (cv.stratify, cv.group, "pixels" if cv.duplicates else None):
        if column is not None and column not in table:
            raise ValueError(f"cv names the column {column!r}, the table has {list(table.columns)}")
    groups = join_groups(table, [c for c in (cv.group, "pixels" if cv.duplicates else None) if c is not None])
    if groups.nunique() < cv.k:
        raise ValueError(f"cv.k is {cv.k}, but there are only {groups.nunique()} separate images or groups")
    grouped = groups.nunique() < len(table)
    labels = table[cv.stratify].astype(str) if cv.stratify is not None else None
    if labels is not None:
        rare = labels.value_counts()
        rare = rare[rare < cv.k]
        if len(rare):
            warnings.warn(
                f"{len(rare)} values of {cv.stratify!r} have fewer images than folds and will be missing from "
                f"some: {rare.index.tolist()[:5]}",
                stacklevel=2,
            )
            labels = labels.where(~labels.isin(rare.index), "(rare)")
        if labels.value_counts().min() < cv.k:  # one bin of a few rare images: any fold will do
            labels = labels.where(labels != "(rare)", labels.value_counts().index[0])
    splitter = _splitter(cv, grouped, labels is not None)
    folds = pd.Series(-1, index=range(len(table)))
    for fold, (_, held) in enumerate(splitter.split(table, labels, groups if grouped else None)):
        folds.iloc[held] = fold
    return pd.DataFrame(
        {"image_id": table["image_id"].to_numpy(), "fold": folds.to_numpy(), "group": groups.to_numpy()}
    )


def _splitter(cv: CrossValidation, grouped: bool, stratified: bool) -> "BaseCrossValidator":
    # Imported here: every verb imports this file, one of them divides.
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    if grouped and stratified:
        return StratifiedGroupKFold(cv.k, shuffle=True, random_state=cv.seed)
    if grouped:
        return GroupKFold(cv.k, shuffle=True, random_state=cv.seed)
    kind = StratifiedKFold if stratified else KFold
    return kind(cv.k, shuffle=True, random_state=cv.seed)


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
        ValueError: columns are missing, a fold is no number, an id comes twice, or a group is split.

    Returns:
        `image_id, fold, group`; `attrs["grouped"]` says whether the file had groups.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no folds file {path}; make it with: python cli.py folds --config …")
    folds = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=str.strip)
    if not {"image_id", "fold"} <= set(folds.columns):
        raise ValueError(f"{path}: columns are {list(folds.columns)}, expected image_id, fold and group")
    folds.attrs["grouped"] = "group" in folds
    if "group" not in folds:
        folds["group"] = folds["image_id"]
    wrong = folds[~folds["fold"].str.fullmatch(r"\d+")]
    if len(wrong):
        raise ValueError(f"{path}, row {wrong.index[0] + 2}: fold {wrong['fold'].iloc[0]!r} is no number")
    twice = folds[folds["image_id"].duplicated()]
    if len(twice):
        raise ValueError(f"{path}, row {twice.index[0] + 2}: image {twice['image_id'].iloc[0]!r} comes twice")
    folds["fold"] = folds["fold"].astype(int)
    split = folds.groupby("group")["fold"].nunique()
    split = split[split > 1].index.tolist()
    if split:
        members = folds[folds["group"] == split[0]]
        pairs = ", ".join(f"{row.image_id} in fold {row.fold}" for row in members.head(4).itertuples())
        raise ValueError(f"{path}: {len(split)} groups lie in more than one fold, {split[0]!r} first: {pairs}")
    return folds


def folds_hash(folds: pd.DataFrame) -> str:
    """Hash of which image lies in which fold, whatever the order of the rows."""
    ordered = folds.sort_values("image_id")
    return text_hash(ordered[["image_id", "fold"]].to_csv(index=False))

"""Folds: assigned once and stored in a file; groups and duplicates are never split."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.cross_validation import CrossValidation
from evaluation.splits import TRAIN_ONLY, divide
from files.paths import text_hash
from files.tables import read_csv
from files.writing import write_frame
from preprocessing.duplicates import connected_groups


def make_folds(table: pd.DataFrame, cv: CrossValidation) -> pd.DataFrame:
    """Assign every image to a fold.

    Args:
        table: `image_id`, the columns named by `cv`, and `pixels` (hash of the decoded pixels) if `duplicates` is set.
        cv: settings of cross-validation.

    Returns:
        `image_id, fold, group`, in the order of the table; fold -1 is training only.

    Raises:
        ValueError: contradictory settings, a missing column, invalid values in it, fewer images or groups than folds,
            an empty fold, or a given split that splits a group.
    """
    _check(cv)
    together = [*cv.groups(), *(["pixels"] if cv.duplicates else [])]
    for column in (cv.stratify, cv.given if cv.kind == "given" else None, *together):
        if column is not None and column not in table:
            raise ValueError(f"cv names column {column!r}, the table has {list(table.columns)}")
    for column in cv.groups():
        unknown = int((table[column].isna() | (table[column].astype(str).str.strip() == "")).sum())
        if unknown > 1:
            warnings.warn(f"{unknown} images have no value in {column!r}; they stay together in one fold", stacklevel=2)
    groups = join_groups(table, together)
    own = (table["source"] == "train").to_numpy() if "source" in table else np.ones(len(table), bool)
    folds = divide(table[own].reset_index(drop=True), groups[own].reset_index(drop=True), cv)
    fold_of = dict(zip(groups[own], folds, strict=True))
    result = groups.map(fold_of).fillna(TRAIN_ONLY).astype(int)
    return pd.DataFrame(
        {"image_id": table["image_id"].to_numpy(), "fold": result.to_numpy(), "group": groups.to_numpy()}
    )


def _check(cv: CrossValidation) -> None:
    """Check that settings do not contradict each other and have an effect."""
    if cv.stratify is None and (cv.separator is not None or cv.bins is not None or cv.kind == "nonuniform"):
        what = "separator" if cv.separator is not None else "bins" if cv.bins is not None else "kind nonuniform"
        raise ValueError(f"cv.{what} requires cv.stratify, the column of the classes")
    if cv.separator is not None and cv.bins is not None:
        raise ValueError("cv.separator is for lists of labels, cv.bins for numbers; set one of them")
    if cv.separator == "":
        raise ValueError('cv.separator is empty; set the separator of labels, such as " " or "|"')
    if cv.bins is not None and cv.bins < 2:
        raise ValueError(f"cv.bins is {cv.bins}, expected 2 or more")
    if cv.repeats < 1:
        raise ValueError(f"cv.repeats is {cv.repeats}, expected 1 or more")
    if cv.k < 2:
        raise ValueError(f"cv.k is {cv.k}, expected 2 or more folds")


def join_groups(table: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Group name of each row; rows that share a value of any column share a group, also through other rows.

    The name is the first image id of the group, so it does not depend on the order of the columns.
    """
    pairs = [np.empty((0, 2), np.int64)]
    for column in columns:
        codes = pd.factorize(table[column].astype(str), use_na_sentinel=False)[0]
        first = np.unique(codes, return_index=True)[1]
        pairs.append(np.stack([first[codes], np.arange(len(table))], axis=1))
    ids = table["image_id"].tolist()
    groups = connected_groups(len(table), np.concatenate(pairs))
    return pd.Series([ids[group] for group in groups.tolist()], name="group")


# --- the file --------------------------------------------------------------------------------------------------------


def write_folds(folds: pd.DataFrame, path: Path) -> None:
    """Write the folds file atomically."""
    write_frame(path, folds)


def read_folds(path: Path | str) -> pd.DataFrame:
    """Read a folds file; ids stay text (`001`, `NA`).

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        ValueError: a column is missing, a fold is not a fold number, an id is repeated, a group is split, or all rows
            are in fold -1.

    Returns:
        `image_id, fold, group`; rows of fold -1 are used for training only.
        `attrs["grouped"]` says whether the file has a column `group`.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"folds file {path} does not exist; make it with: python cli.py folds --config …")
    folds = read_csv(path)
    if not {"image_id", "fold"} <= set(folds.columns):
        raise ValueError(f"{path}: columns are {list(folds.columns)}, expected image_id, fold and group")
    folds.attrs["grouped"] = "group" in folds
    if "group" not in folds:
        folds["group"] = folds["image_id"]
    wrong = folds[~folds["fold"].str.fullmatch(r"\d+|-1")]
    if len(wrong):
        raise ValueError(
            f"{path}, row {wrong.index[0] + 2}: fold is {wrong['fold'].iloc[0]!r}, expected -1 or an integer ≥ 0"
        )
    twice = folds[folds["image_id"].duplicated()]
    if len(twice):
        raise ValueError(f"{path}, row {twice.index[0] + 2}: image {twice['image_id'].iloc[0]!r} is repeated")
    folds["fold"] = folds["fold"].astype(int)
    if len(folds) and (folds["fold"] == TRAIN_ONLY).all():
        raise ValueError(f"{path}: all rows are in fold -1, which is never validated; use 0 for the validation fold")
    counts = folds.groupby("group")["fold"].nunique()
    split = counts[counts > 1].index.tolist()
    if split:
        members = folds[folds["group"] == split[0]]
        pairs = ", ".join(f"{row.image_id} in fold {row.fold}" for row in members.head(4).itertuples())
        raise ValueError(f"{path}: {len(split)} groups are in more than one fold, the first is {split[0]!r}: {pairs}")
    return folds


def groups_of(path: Path | str | None) -> dict[str, str]:
    """Group of each image id in a folds file; empty without a file."""
    if path is None or not Path(path).is_file():
        return {}
    folds = read_folds(path)
    return dict(zip(folds["image_id"], folds["group"], strict=True))


def folds_hash(folds: pd.DataFrame) -> str:
    """Hash of the assignment of images to folds, independent of the order of rows."""
    ordered = folds.sort_values("image_id")
    return text_hash(ordered[["image_id", "fold"]].to_csv(index=False))

"""Ways to split images into folds: shuffled, by class, by lists of labels, by quotas, as given by the author."""

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from files.tables import comma_hint

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from evaluation.cross_validation import CrossValidation

TRAIN_ONLY = -1  # fold of training-only rows
AREA_BINS = 5
NONE = "(none)"  # class of rows without a value
SIDES = {"true": 0, "val": 0, "valid": 0, "validation": 0, "false": TRAIN_ONLY, "train": TRAIN_ONLY}
QUOTAS = ((50, 10), (100, 20), (1_000, 50), (10_000, 100), (100_000, 500))


def divide(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    """Fold of every row `(N,)`; rows of one group share a fold."""
    if cv.kind == "given":
        return _given(table, groups, cv)
    if cv.kind == "nonuniform":
        return _nonuniform(*_indicator(_labels(table, cv)), groups, cv.random_state())
    if groups.nunique() < cv.k:
        raise ValueError(f"cv.k is {cv.k}, but there are only {groups.nunique()} separate images or groups; lower cv.k")
    folds = _multilabel(table, groups, cv) if cv.separator is not None else _kfold(table, groups, cv)
    empty = sorted(set(range(cv.k)) - set(folds.tolist()))
    if empty:
        raise ValueError(
            f"fold {empty[0]} of {cv.k} is empty: the groups are too large for {cv.k} folds; lower cv.k or remove "
            "cv.stratify"
        )
    return folds


# --- classes ---------------------------------------------------------------------------------------------------------


def _labels(table: pd.DataFrame, cv: "CrossValidation") -> list[list[str]]:
    """Labels of every row; rows without any get the label `NONE` and are distributed like the others."""
    if cv.separator is None:
        return [[value] for value in _classes(table, cv)]
    fields = _texts(table[cv.stratify], cv)
    return [[part.strip() for part in text.split(cv.separator) if part.strip()] or [NONE] for text in fields]


def _texts(values: pd.Series, cv: "CrossValidation") -> pd.Series:
    """Values as stripped text; a missing value becomes `NONE`."""
    texts = values.astype(str).str.strip()
    absent = values.isna() | (texts == "")
    if absent.any() and cv.separator is None:  # an empty list of labels is not a missing value
        warnings.warn(
            f"{int(absent.sum())} images have no value in {cv.stratify!r}; they form a class of their own", stacklevel=5
        )
    return texts.mask(absent, NONE)


def _classes(table: pd.DataFrame, cv: "CrossValidation") -> pd.Series:
    """Class of every row as text, from the column `stratify`."""
    values = table[cv.stratify]
    texts = _texts(values, cv)
    bins = AREA_BINS if cv.stratify == "area" and cv.bins is None else cv.bins
    if bins is None:
        return texts
    absent = texts == NONE
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() & ~absent
    if wrong.any():
        image_id, value = table["image_id"][wrong].iloc[0], values[wrong].iloc[0]
        raise ValueError(
            f"cv.bins expects numbers, image {image_id!r} has {value!r} in {cv.stratify!r}"
            f"{comma_hint(str(value)) or '; remove cv.bins to stratify by classes'}"
        )
    counted = (numbers != 0) & ~absent
    between = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(numbers[counted], between)) if counted.any() else np.empty(0)
    binned = pd.Series(np.searchsorted(edges, numbers), index=table.index).map("bin {}".format)
    return binned.mask(numbers == 0, "0").mask(absent, NONE)


def _indicator(labels: list[list[str]]) -> tuple["csr_array", list[str]]:
    """Row-by-label indicator `(N, L)` of 0 and 1, and the labels; sparse, as there may be thousands of them."""
    from scipy.sparse import csr_array

    pairs = [(row, label) for row, names in enumerate(labels) for label in dict.fromkeys(names)]
    codes, names = pd.factorize(pd.Series([label for _, label in pairs], dtype=object), sort=True)
    rows = [row for row, _ in pairs]
    return csr_array((np.ones(len(pairs), np.int64), (rows, codes)), (len(labels), len(names))), list(names)


def _warn_rare(counts: pd.Series, cv: "CrossValidation") -> pd.Series:
    """Warn about classes too rare to be in every fold, and return their counts."""
    rare = counts[counts < cv.k]
    if len(rare):
        many = " (cv.bins cuts numbers into classes)" if len(rare) == len(counts) and cv.separator is None else ""
        warnings.warn(
            f"{len(rare)} values of {cv.stratify!r} have fewer images than there are folds and will be missing from "
            f"some folds{many}: {rare.index.tolist()[:5]}",
            stacklevel=5,
        )
    return rare


# --- ways to split ---------------------------------------------------------------------------------------------------


def _kfold(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    labels = None
    if cv.stratify is not None:
        labels = _classes(table, cv)
        rare = _warn_rare(labels.value_counts(), cv)
        labels = labels.where(~labels.isin(rare.index), "(rare)")
        if labels.value_counts().min() < cv.k:  # a few rare images: they may go to any fold
            labels = labels.where(labels != "(rare)", labels.value_counts().index[0])
    if groups.nunique() < len(table):
        return _whole_groups(None if labels is None else _indicator([[label] for label in labels])[0], groups, cv)
    if labels is None:
        return shuffled(len(table), cv.k, cv.random_state())
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(cv.k, shuffle=True, random_state=cv.random_state())
    return _held(splitter.split(table, labels), len(table))


def shuffled(rows: int, k: int, seed: int) -> np.ndarray:
    """Random fold of each row `(rows,)`; fold sizes differ by at most one.

    Equal to `sklearn.model_selection.KFold(k, shuffle=True, random_state=seed)`, whose import takes longer than all
    other work of `folds` on a small set.
    """
    order = np.arange(rows)
    np.random.RandomState(seed).shuffle(order)
    folds = np.empty(rows, np.int64)
    for fold, held in enumerate(np.array_split(order, k)):
        folds[held] = fold
    return folds


def _multilabel(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    matrix, names = _indicator(_labels(table, cv))
    _warn_rare(pd.Series(matrix.sum(0), names), cv)
    if groups.nunique() < len(table):
        return _whole_groups(matrix, groups, cv)
    if len(names) == 1:  # all images have the same label: nothing to stratify
        return _kfold(table, groups, replace(cv, stratify=None, separator=None))
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    splitter = MultilabelStratifiedKFold(n_splits=cv.k, shuffle=True, random_state=cv.random_state())
    return _held(splitter.split(table, matrix.toarray()), len(table))


def _held(splits: Iterable[tuple[np.ndarray, np.ndarray]], rows: int) -> np.ndarray:
    """Fold of every row, from the splits of a scikit-learn splitter."""
    folds = np.full(rows, TRAIN_ONLY)
    for fold, (_, held) in enumerate(splits):
        folds[held] = fold
    return folds


def _whole_groups(matrix: "csr_array | None", groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    from evaluation.whole_groups import deal_by_class, deal_by_size

    codes = pd.factorize(groups)[0]
    sizes = np.bincount(codes)
    if matrix is None:
        return deal_by_size(sizes, cv.k, cv.random_state())[codes]
    return deal_by_class(_group_sums(matrix, codes), sizes, cv.k, cv.random_state())[codes]


def _group_sums(matrix: "csr_array", codes: np.ndarray) -> "csr_array":
    """Number of images of each label in each group `(G, L)`; `codes` `(N,)` are the group numbers of the rows."""
    from scipy.sparse import csr_array

    ones, rows = np.ones(len(codes), np.int64), np.arange(len(codes))
    return csr_array(csr_array((ones, (codes, rows)), (codes.max() + 1, len(codes))) @ matrix)


def validation_quota(size: int) -> int:
    """Number of validation images of a class of `size` images in a `nonuniform` split (Inclusive Images 2018)."""
    return size // next((share for below, share in QUOTAS if size < below), 1_000)


def _nonuniform(matrix: "csr_array", names: list[str], groups: pd.Series, seed: int) -> np.ndarray:
    """Assign fold 0 until every class reaches its quota, and fold -1 to the rest.

    Rare classes come first: their images often contain common classes too, rarely the other way round. A group that
    contains all images of a class stays in training.
    """
    codes = pd.factorize(groups)[0]
    sums = _group_sums(matrix, codes)
    columns, totals = sums.tocsc(), matrix.sum(0)
    random = np.random.default_rng(seed)
    taken, found, short = np.zeros(sums.shape[0], bool), np.zeros(len(totals), np.int64), []

    def spared(group: int) -> bool:
        """Whether every class keeps at least one training image without the group."""
        own = slice(sums.indptr[group], sums.indptr[group + 1])
        kept = sums.indices[own]
        return bool((found[kept] + sums.data[own] < totals[kept]).all())

    for label in np.argsort(totals, kind="stable"):
        quota = validation_quota(int(totals[label]))
        own = slice(columns.indptr[label], columns.indptr[label + 1])
        shuffled = random.permutation(own.stop - own.start)
        members, counts = columns.indices[own][shuffled], columns.data[own][shuffled]
        # First the groups that fit; the smallest groups that overshoot then fill what is still missing.
        for fitting in (True, False):
            order = range(len(members)) if fitting else np.argsort(counts, kind="stable")
            for place in order:
                lacking = quota - found[label]
                if lacking <= 0:
                    break
                group = members[place]
                if not taken[group] and (counts[place] <= lacking or not fitting) and spared(group):
                    taken[group] = True
                    row = slice(sums.indptr[group], sums.indptr[group + 1])
                    found[sums.indices[row]] += sums.data[row]
        if found[label] < quota:
            short.append(f"{names[label]!r} {found[label]} of {quota}")
    if short:
        warnings.warn(
            f"{len(short)} classes have fewer validation images than their quota, because their groups contain all "
            f"images of a class: {', '.join(short[:5])}",
            stacklevel=5,
        )
    if not taken.any():
        raise ValueError(
            f"no class has the 10 images needed for one validation image, the largest has {totals.max()}; use cv.kind "
            "kfold"
        )
    return np.where(taken[codes], 0, TRAIN_ONLY)


def _given(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    """Split given by the author in a column of the table."""
    texts = table[cv.given].astype(str).str.strip().str.lower()
    if texts.isin(SIDES).all():
        folds = texts.map(SIDES)
    elif texts.str.fullmatch(r"\d+|-1").all():
        folds = texts.astype(int)
    else:
        wrong = texts[~texts.isin(SIDES) & ~texts.str.fullmatch(r"\d+|-1")]
        at = table.loc[wrong.index[0] if len(wrong) else texts.index[0]]
        raise ValueError(
            f"cv.given: image {at['image_id']!r} has {at[cv.given]!r} in column {cv.given!r}, expected fold numbers in "
            f"all rows, or {', '.join(SIDES)}"
        )
    if (folds == TRAIN_ONLY).all():
        raise ValueError(f"cv.given: column {cv.given!r} puts no image in a validation fold; number a fold 0")
    counts = folds.groupby(groups).nunique()
    split = counts[counts > 1].index.tolist()
    if split:
        members = table["image_id"][groups == split[0]].head(4).tolist()
        raise ValueError(
            f"cv.given: column {cv.given!r} splits {len(split)} groups, the first contains {members}, so validation "
            "images would leak into training; if that is intended, set cv.duplicates: false and no cv.group"
        )
    return folds.to_numpy()

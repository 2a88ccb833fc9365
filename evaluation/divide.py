"""Ways to divide images into folds: shuffled, by classes, by lists of labels, with quotas, as the author did."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from evaluation.folds import CrossValidation

TRAIN_ONLY = -1  # fold of rows that are trained on in every fold and never validated
AREA_BINS = 5
SIDES = {"true": 0, "val": 0, "valid": 0, "validation": 0, "false": TRAIN_ONLY, "train": TRAIN_ONLY}
QUOTAS = ((50, 10), (100, 20), (1_000, 50), (10_000, 100), (100_000, 500))


def divide(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    """Fold of every row `(N,)`; rows of one group have the same."""
    if cv.kind == "given":
        return _given(table, groups, cv)
    if cv.kind == "nonuniform":
        return _nonuniform(*_indicator(_labels(table, cv)), groups, cv.random_state())
    if groups.nunique() < cv.k:
        raise ValueError(f"cv.k is {cv.k}, but there are only {groups.nunique()} separate images or groups")
    folds = _multilabel(table, groups, cv) if cv.separator is not None else _kfold(table, groups, cv)
    empty = sorted(set(range(cv.k)) - set(folds.tolist()))
    if empty:
        raise ValueError(
            f"fold {empty[0]} of {cv.k} got no image: the groups are too large to divide so; lower cv.k, or leave out "
            "cv.stratify"
        )
    return folds


# --- classes ---------------------------------------------------------------------------------------------------------


def _labels(table: pd.DataFrame, cv: "CrossValidation") -> list[list[str]]:
    """Labels of every row; rows without any get one that says so, and are spread like the others."""
    if cv.separator is None:
        return [[value] for value in _classes(table, cv)]
    fields = table[cv.stratify].fillna("").astype(str)
    return [[part.strip() for part in text.split(cv.separator) if part.strip()] or ["(none)"] for text in fields]


def _classes(table: pd.DataFrame, cv: "CrossValidation") -> pd.Series:
    """Class of every row by the column `stratify`, as text."""
    values = table[cv.stratify]
    bins = AREA_BINS if cv.stratify == "area" and cv.bins is None else cv.bins
    if bins is None:
        return values.astype(str)
    numbers = pd.to_numeric(values, errors="coerce")
    absent = values.isna() | (values.astype(str).str.strip() == "")
    wrong = numbers.isna() & ~absent
    if wrong.any():
        row = table[wrong].iloc[0]
        raise ValueError(
            f"cv.bins wants numbers, image {row['image_id']!r} has {row[cv.stratify]!r} in {cv.stratify!r}; leave "
            "cv.bins out for classes"
        )
    counted = (numbers != 0) & ~absent
    edges = np.unique(np.quantile(numbers[counted], np.linspace(0, 1, bins + 1)[1:-1])) if counted.any() else []
    binned = pd.Series(np.searchsorted(edges, numbers), index=table.index).map("bin {}".format)
    return binned.mask(numbers == 0, "0").mask(absent, "(none)")


def _indicator(labels: list[list[str]]) -> tuple["csr_matrix", list[str]]:
    """`(N, L)` of 0 and 1, which row has which label, and the labels; sparse, for there may be thousands of them."""
    from scipy.sparse import csr_matrix

    pairs = [(row, label) for row, names in enumerate(labels) for label in dict.fromkeys(names)]
    codes, names = pd.factorize(pd.Series([label for _, label in pairs], dtype=object), sort=True)
    rows = [row for row, _ in pairs]
    return csr_matrix((np.ones(len(pairs), np.int64), (rows, codes)), (len(labels), len(names))), list(names)


def _warn_rare(counts: pd.Series, cv: "CrossValidation") -> pd.Series:
    """Say which classes cannot be in every fold; returns them."""
    rare = counts[counts < cv.k]
    if len(rare):
        warnings.warn(
            f"{len(rare)} values of {cv.stratify!r} have fewer images than folds and will be missing from "
            f"some: {rare.index.tolist()[:5]}",
            stacklevel=5,
        )
    return rare


# --- ways to divide --------------------------------------------------------------------------------------------------


def _kfold(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    # Imported here: every verb imports this file, one of them divides.
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    grouped, labels = groups.nunique() < len(table), None
    if cv.stratify is not None:
        labels = _classes(table, cv)
        rare = _warn_rare(labels.value_counts(), cv)
        labels = labels.where(~labels.isin(rare.index), "(rare)")
        if labels.value_counts().min() < cv.k:  # one bin of a few rare images: any fold will do
            labels = labels.where(labels != "(rare)", labels.value_counts().index[0])
    if grouped:
        kind = GroupKFold if labels is None else StratifiedGroupKFold
    else:
        kind = KFold if labels is None else StratifiedKFold
    splitter = kind(cv.k, shuffle=True, random_state=cv.random_state())
    folds = np.full(len(table), TRAIN_ONLY)
    for fold, (_, held) in enumerate(splitter.split(table, labels, groups if grouped else None)):
        folds[held] = fold
    return folds


def _multilabel(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    matrix, names = _indicator(_labels(table, cv))
    _warn_rare(pd.Series(np.asarray(matrix.sum(0)).ravel(), names), cv)
    if groups.nunique() < len(table):
        return _greedy(matrix, groups, cv.k, cv.random_state())
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    splitter = MultilabelStratifiedKFold(n_splits=cv.k, shuffle=True, random_state=cv.random_state())
    folds = np.full(len(table), TRAIN_ONLY)
    for fold, (_, held) in enumerate(splitter.split(table, matrix.toarray())):
        folds[held] = fold
    return folds


def _greedy(matrix: "csr_matrix", groups: pd.Series, k: int, seed: int) -> np.ndarray:
    """Whole groups, one after the other, each to the fold that has least of what it brings.

    Shares count, not numbers, so that a rare label weighs as much as a common one; the images themselves count as one
    more label. The sum over labels of the squared shares grows by twice the dot product of the group's shares with the
    fold's, so the smallest product keeps that sum smallest.
    """
    codes, sums = _group_sums(matrix, groups)
    sizes = np.bincount(codes)
    shares = sums.toarray() / np.asarray(matrix.sum(0)).ravel()
    shares = np.column_stack([shares, sizes / sizes.sum()])
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-shares[order].max(1), kind="stable")]  # what is hardest to place comes first
    present, fold_of = np.zeros((k, shares.shape[1])), np.zeros(len(sizes), int)
    for group in order:
        costs = present @ shares[group]
        # among equals the smallest fold
        fold = min(range(k), key=lambda fold: (round(costs[fold], 12), present[fold, -1]))
        fold_of[group] = fold
        present[fold] += shares[group]
    return fold_of[codes]


def _group_sums(matrix: "csr_matrix", groups: pd.Series) -> tuple[np.ndarray, "csr_matrix"]:
    """Number of every row's group `(N,)`, and how often each group has each label `(G, L)`."""
    from scipy.sparse import csr_matrix

    codes, names = pd.factorize(groups)
    member = csr_matrix((np.ones(len(codes), np.int64), (codes, np.arange(len(codes)))), (len(names), len(codes)))
    return codes, csr_matrix(member @ matrix)


def validation_quota(size: int) -> int:
    """Images of a class of `size` images that are validated in the non-uniform division (Inclusive Images 2018)."""
    return size // next((share for below, share in QUOTAS if size < below), 1_000)


def _nonuniform(matrix: "csr_matrix", names: list[str], groups: pd.Series, seed: int) -> np.ndarray:
    """Fold 0 where every class has its quota or more, fold -1 for the rest.

    Rare classes choose first: their images often bring the common ones along, never the other way round. A group that
    holds all images of a class stays in training.
    """
    codes, sums = _group_sums(matrix, groups)
    columns, totals = sums.tocsc(), np.asarray(matrix.sum(0)).ravel()
    random = np.random.default_rng(seed)
    taken, found, short = np.zeros(sums.shape[0], bool), np.zeros(len(totals), np.int64), []

    def spared(group: int) -> bool:
        """Whether every class keeps an image to train on without the group."""
        own = slice(sums.indptr[group], sums.indptr[group + 1])
        kept = sums.indices[own]
        return bool((found[kept] + sums.data[own] < totals[kept]).all())

    for label in np.argsort(totals, kind="stable"):
        quota = validation_quota(int(totals[label]))
        own = slice(columns.indptr[label], columns.indptr[label + 1])
        shuffled = random.permutation(own.stop - own.start)
        members, counts = columns.indices[own][shuffled], columns.data[own][shuffled]
        # First those that fit; what is then still lacking is filled by the smallest of those that overshoot.
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
            f"{len(short)} classes validate fewer images than their quota, since their groups hold all images of a "
            f"class: {', '.join(short[:5])}",
            stacklevel=5,
        )
    if not taken.any():
        raise ValueError(
            f"no class reaches a quota of one validation image (10 images of a class): the largest has {totals.max()}; "
            "use cv.kind kfold"
        )
    return np.where(taken[codes], 0, TRAIN_ONLY)


def _given(table: pd.DataFrame, groups: pd.Series, cv: "CrossValidation") -> np.ndarray:
    """The author's division."""
    texts = table[cv.given].astype(str).str.strip().str.lower()
    if texts.isin(SIDES).all():
        folds = texts.map(SIDES)
    elif texts.str.fullmatch(r"\d+|-1").all():
        folds = texts.astype(int)
    else:
        wrong = texts[~texts.isin(SIDES) & ~texts.str.fullmatch(r"\d+|-1")]
        at = table.loc[wrong.index[0] if len(wrong) else texts.index[0]]
        raise ValueError(
            f"cv.given: image {at['image_id']!r} has {at[cv.given]!r} in {cv.given!r}, expected fold numbers "
            f"throughout, or {', '.join(SIDES)}"
        )
    if (folds == TRAIN_ONLY).all():
        raise ValueError(f"cv.given: no image is validated by the column {cv.given!r}")
    split = folds.groupby(groups).nunique()
    split = split[split > 1].index.tolist()
    if split:
        members = table["image_id"][groups == split[0]].head(4).tolist()
        raise ValueError(
            f"cv.given: the column {cv.given!r} splits {len(split)} groups, that of {members} first, so validation "
            "would see what was trained on; say that you mean it with cv.duplicates: false and no cv.group"
        )
    return folds.to_numpy()

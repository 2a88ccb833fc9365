"""Whole groups dealt out to folds, such that each holds as many images, and as much of every class."""

import warnings
from heapq import heapreplace
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array, hstack

LARGEST = 1.1  # times the images of the largest fold that the sizes of the groups need
STARTS = 4  # random orders that are tried
FEW = 2_000  # groups; of more one order will do, for there are some for every gap
LOOKED_AT = 300  # groups of a fold among which those to exchange are looked for
GAIN = 0.02  # part of the unlikeness of two folds that an exchange must remove to be worth the time
DENSE = 10_000_000  # numbers of a table of groups and classes that may be held in full


def deal_by_size(sizes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Fold of every group `(G,)`, 0 to k - 1, such that all have as many images.

    The largest fold is no larger than that of `sklearn.model_selection.GroupKFold` without shuffling, the smallest no
    smaller. Another seed gives other folds, unless the sizes leave no choice.

    Args:
        sizes: `(G,)`, images of each group.
        k: folds; G or fewer.
        seed: of the order of the groups.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(sizes))
    plain = _Folds(_by_size(sizes, shuffled[np.argsort(-sizes[shuffled], kind="stable")], k), sizes, k)
    for _ in range(STARTS):
        order = np.argsort(-sizes * random.uniform(0.5, 1, len(sizes)))
        folds = _Folds(_by_size(sizes, order, k), sizes, k)
        folds.exchange(random)
        if folds.sizes.max() <= plain.sizes.max() and folds.sizes.min() >= plain.sizes.min():
            return random.permutation(k)[folds.fold_of]
    return random.permutation(k)[plain.fold_of]


def deal_by_class(sums: csr_array, sizes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Fold of every group `(G,)`, 0 to k - 1, such that all have as much of every class, and as many images.

    Groups come in random order, the hardest to place first, each to the fold that has least of what it brings; then
    folds exchange groups as long as that makes them more alike. What is kept small is the sum over folds and classes of
    the squared share of the class that lies in the fold, so that a rare class weighs as much as a common one; the
    images count as one more class. Up to 2,000 groups several orders are tried, and where every image has one class,
    scikit-learn's `StratifiedGroupKFold` is one more beginning, and the measure of the result.

    Args:
        sums: `(G, L)`, images of each class in each group.
        sizes: `(G,)`, images of each group.
        k: folds; G or fewer.
        seed: of the order of the groups.

    Returns:
        Folds of which the largest has at most 1.1 times the images of the largest of
        `sklearn.model_selection.GroupKFold`. Where `StratifiedGroupKFold` keeps to that, the classes are divided as
        evenly as there or better.
    """
    random = np.random.default_rng(seed)
    shares = _shares(sums, sizes)
    plain = _Folds(_by_size(sizes, np.argsort(-sizes, kind="stable"), k), sizes, k, shares)
    most = LARGEST * plain.sizes.max()
    few = len(sizes) <= FEW
    starts = [_hardest_first(shares, sizes, k, most, random) for _ in range(STARTS if few else 1)]
    found, reference = [plain], None
    if few and (sums.sum(1) == sizes).all() and sums.sum(0).max() >= k:
        known = _Folds(_by_scikit_learn(sums, k, seed), sizes, k, shares)
        reference = known.unlike()
        found.append(known)
        starts.append(known.fold_of)
    for start in starts:
        folds = _Folds(start, sizes, k, shares)
        if folds.sizes.max() <= most:
            folds.exchange(random, most)
            found.append(folds)

    def order(folds: _Folds) -> tuple[bool, float, float]:
        behind = 0.0 if reference is None else np.maximum(folds.unlike() - reference - 1e-12, 0).sum()
        return folds.sizes.max() > most, behind, folds.squares()

    return random.permutation(k)[min(found, key=order).fold_of]


def _shares(sums: csr_array, sizes: np.ndarray) -> np.ndarray | csr_array:
    """What part of the images, and of each class, every group has: `(G, 1 + L)`."""
    whole = csr_array(hstack([csr_array(sizes[:, None]), sums]), dtype=float)
    shares = csr_array(whole * (1 / whole.sum(0)))
    return shares.toarray() if np.prod(shares.shape) <= DENSE else shares


def _full(rows: np.ndarray | csr_array) -> np.ndarray:
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def _by_size(sizes: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Each group in turn to the fold with the fewest images; the largest first, that is `GroupKFold`."""
    fold_of, heap = np.empty(len(sizes), int), [(0, fold) for fold in range(k)]
    for group in order:
        load, fold = heap[0]
        fold_of[group] = fold
        heapreplace(heap, (load + int(sizes[group]), fold))
    return fold_of


def _hardest_first(
    shares: np.ndarray | csr_array, sizes: np.ndarray, k: int, most: float, random: np.random.Generator
) -> np.ndarray:
    """Each group in turn to the fold that has least of what it brings, among those that it fits into."""
    order = random.permutation(len(sizes))
    order = order[np.argsort(-_full(shares.max(1)).ravel()[order], kind="stable")]
    rows = csr_array(shares)
    present, images, fold_of = np.zeros((k, shares.shape[1])), np.zeros(k), np.empty(len(sizes), int)
    for group in order:
        # The sum of squares grows by twice this product, and by what is the same for every fold.
        own = slice(rows.indptr[group], rows.indptr[group + 1])
        brought, values = rows.indices[own], rows.data[own]
        costs = np.where(images + sizes[group] <= most, present[:, brought] @ values, np.inf)
        fold = int(np.where(costs <= costs.min() + 1e-12, images, np.inf).argmin())
        fold_of[group] = fold
        present[fold, brought] += values
        images[fold] += sizes[group]
    return fold_of


def _by_scikit_learn(sums: csr_array, k: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    pairs = sums.tocoo()
    groups, classes = (np.repeat(each, pairs.data.astype(int)) for each in (pairs.row, pairs.col))
    fold_of = np.empty(sums.shape[0], int)
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes, which the caller has told of
        for fold, (_, held) in enumerate(splitter.split(groups, classes, groups)):
            fold_of[groups[held]] = fold
    return fold_of


class _Folds:
    """Groups in folds, and what each fold has of the images and of each class."""

    def __init__(
        self, fold_of: np.ndarray, sizes: np.ndarray, k: int, shares: np.ndarray | csr_array | None = None
    ) -> None:
        self.fold_of, self.group_sizes, self.k = fold_of.copy(), sizes, k
        self.shares = sizes[:, None] / sizes.sum() if shares is None else shares
        member = csr_array((np.ones(len(sizes)), (fold_of, np.arange(len(sizes)))), (k, len(sizes)))
        self.present = _full(member @ self.shares)
        self.sizes = np.bincount(fold_of, sizes, k)

    def squares(self) -> float:
        return float(np.square(self.present).sum())

    def unlike(self) -> np.ndarray:
        """How far the folds are from equal shares of each class: on average, at most, and within a fold at most."""
        classes, images = self.present[:, 1:], self.present[:, :1]
        within = np.abs(classes / np.maximum(images, 1e-12) - 1)
        return np.array([classes.std(0).mean(), np.abs(classes - 1 / self.k).max(), within.max()])

    def exchange(self, random: np.random.Generator, most: float = np.inf) -> None:
        """Let pairs of folds exchange groups until no pair gains by it; none grows beyond `most` images."""
        squares = (self.shares * self.shares).sum(1)
        pairs = random.permutation(list(combinations(range(self.k), 2)))
        changed = np.ones(self.k, bool)
        while changed.any():
            before, changed = changed, np.zeros(self.k, bool)
            for one, other in pairs:
                while (before | changed)[[one, other]].any() and self._exchange(one, other, squares, random, most):
                    changed[[one, other]] = True

    def _exchange(self, one: int, other: int, squares: np.ndarray, random: np.random.Generator, most: float) -> bool:
        """Move a group from one fold to the other, or exchange two, whichever lowers the sum of squares most.

        Of two folds that differ by d, w given away lowers their sum of squares by 2 w (d - w).
        """
        lack = self.present[one] - self.present[other]
        sides = []
        for fold, sign in ((one, 1), (other, -1)):
            groups = np.flatnonzero(self.fold_of == fold)
            groups = random.choice(groups, LOOKED_AT, replace=False) if len(groups) > LOOKED_AT else groups
            rows = self.shares[groups]
            alone = squares[groups] - sign * (rows @ lack)
            sides.append((groups, rows, np.append(alone, 0.0), np.append(self.group_sizes[groups], 0)))
        (ours, our_rows, give, our_sizes), (theirs, their_rows, take, their_sizes) = sides
        change = give[:, None] + take  # the last row and column: nothing
        change[:-1, :-1] -= 2 * _full(our_rows @ their_rows.T)
        moved = our_sizes[:, None] - their_sizes
        change[np.maximum(self.sizes[one] - moved, self.sizes[other] + moved) > most] = np.inf
        row, column = np.unravel_index(change.argmin(), change.shape)
        if change[row, column] > -max(GAIN * lack @ lack, 1e-12):
            return False
        for groups, rows, place, source, target in (
            (ours, our_rows, row, one, other),
            (theirs, their_rows, column, other, one),
        ):
            if place < len(groups):
                share, size = _full(rows[[place]])[0], self.group_sizes[groups[place]]
                self.fold_of[groups[place]] = target
                self.present[[source, target]] += share * np.array([[-1], [1]])
                self.sizes[[source, target]] += np.array([-size, size])
        return True

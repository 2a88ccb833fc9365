"""Assignment of whole groups to folds, such that folds have equal numbers of images and of every class."""

import warnings
from heapq import heapreplace
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array, hstack

LARGEST = 1.1  # largest fold, as a multiple of the smallest possible one
STARTS = 4  # random orders to try
FEW = 2_000  # groups; above, one order is enough: there is a group for every gap
LOOKED_AT = 300  # groups of a fold that are candidates for an exchange
GAIN = 0.02  # share of the difference of two folds that an exchange must remove to be worth the time
DENSE = 10_000_000  # cells up to which the table of groups and classes is dense


def deal_by_size(sizes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Fold of every group `(G,)`, 0 to k - 1, such that folds have equal numbers of images.

    The largest fold is no larger than that of `sklearn.model_selection.GroupKFold` without shuffling, the smallest no
    smaller. Another seed gives other folds, unless the group sizes allow only one split.

    Args:
        sizes: `(G,)`, number of images of each group.
        k: number of folds, at most G.
        seed: seed of the order of the groups.
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
    """Fold of every group `(G,)`, 0 to k - 1, such that folds have equal shares of every class and of the images.

    Groups come in random order, the hardest to place first, each to the fold that has least of its classes; then
    folds exchange groups as long as that makes them more alike. The minimised quantity is the sum over folds and
    classes of the squared share of the class in the fold, so that a rare class weighs as much as a common one; the
    images count as one more class. Up to 2,000 groups several orders are tried. If every image has one class,
    scikit-learn's `StratifiedGroupKFold` is another start, and the reference for the result.

    Args:
        sums: `(G, L)`, number of images of each class in each group.
        sizes: `(G,)`, number of images of each group.
        k: number of folds, at most G.
        seed: seed of the order of the groups.

    Returns:
        Folds; the largest has at most 1.1 times the images of the largest of `sklearn.model_selection.GroupKFold`.
        Where `StratifiedGroupKFold` meets that limit, classes are distributed at least as evenly as there.
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
    """Share of the images, and of each class, in every group: `(G, 1 + L)`."""
    whole = csr_array(hstack([csr_array(sizes[:, None]), sums]), dtype=float)
    shares = csr_array(whole * (1 / whole.sum(0)))
    return shares.toarray() if np.prod(shares.shape) <= DENSE else shares


def _full(rows: np.ndarray | csr_array) -> np.ndarray:
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def _by_size(sizes: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Assign each group in turn to the fold with the fewest images; largest first, this is `GroupKFold`."""
    fold_of, heap = np.empty(len(sizes), int), [(0, fold) for fold in range(k)]
    for group in order:
        load, fold = heap[0]
        fold_of[group] = fold
        heapreplace(heap, (load + int(sizes[group]), fold))
    return fold_of


def _hardest_first(
    shares: np.ndarray | csr_array, sizes: np.ndarray, k: int, most: float, random: np.random.Generator
) -> np.ndarray:
    """Assign each group in turn to the fold that has least of its classes, among those with room for it."""
    order = random.permutation(len(sizes))
    order = order[np.argsort(-_full(shares.max(1)).ravel()[order], kind="stable")]
    rows = csr_array(shares)
    present, images, fold_of = np.zeros((k, shares.shape[1])), np.zeros(k), np.empty(len(sizes), int)
    for group in order:
        # The sum of squares grows by twice this product plus a constant.
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
        warnings.simplefilter("ignore", UserWarning)  # about rare classes; the caller has warned of them
        for fold, (_, held) in enumerate(splitter.split(groups, classes, groups)):
            fold_of[groups[held]] = fold
    return fold_of


class _Folds:
    """Assignment of groups to folds, and the share of the images and of each class in each fold."""

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
        """Deviation of the folds from equal shares of each class: mean, maximum, and maximum within a fold."""
        classes, images = self.present[:, 1:], self.present[:, :1]
        within = np.abs(classes / np.maximum(images, 1e-12) - 1)
        return np.array([classes.std(0).mean(), np.abs(classes - 1 / self.k).max(), within.max()])

    def exchange(self, random: np.random.Generator, most: float = np.inf) -> None:
        """Exchange groups between pairs of folds until no pair gains; no fold exceeds `most` images."""
        squares = (self.shares * self.shares).sum(1)
        pairs = random.permutation(list(combinations(range(self.k), 2)))
        changed = np.ones(self.k, bool)
        while changed.any():
            before, changed = changed, np.zeros(self.k, bool)
            for one, other in pairs:
                while (before | changed)[[one, other]].any() and self._exchange(one, other, squares, random, most):
                    changed[[one, other]] = True

    def _exchange(self, one: int, other: int, squares: np.ndarray, random: np.random.Generator, most: float) -> bool:
        """Move a group between two folds, or exchange two, whichever lowers the sum of squares most.

        If two folds differ by d, giving away w lowers their sum of squares by 2 w (d - w).
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
        change = give[:, None] + take  # last row and column: no group
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

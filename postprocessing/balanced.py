"""Assignment of rows to classes with given counts and the largest sum of values, and the class prices behind it."""

from collections.abc import Iterator

import numpy as np

PATIENCE = 4  # passes over all rows before progress is checked
LEFT = 4  # surplus rows per class that chains settle in seconds
CHUNK = 4096  # rows at a time


def balance(
    values: np.ndarray, wanted: np.ndarray, clear: float = 1e-3, rounds: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Assign a class to every row, with given counts of the classes, such that the sum of the values is largest.

    This is an assignment with capacities. `scipy.optimize.linear_sum_assignment` needs a column per place, 100 GB for
    112,200 rows; this algorithm works between the classes, which are few:

    1. As Quick, Draw!'s competitors did, but with sorted margins instead of small steps: the price of the class with
       the largest surplus of rows rises until the surplus rows prefer another class.
    2. That may never end, since classes pass the same rows round. Successive shortest paths settle the rest (Ahuja,
       Magnanti & Orlin, Network Flows, 1993, 9.7): along the cheapest chain of classes, from one with a surplus to
       one with a deficit, each passes a row on to the next.

    Args:
        values: value of each class for each row `(N, K)`, finite.
        wanted: number of rows of each class `(K,)`; the sum is N.
        clear: largest amount by which prices may exceed the lowest possible ones to make preferences clear.
        rounds: maximum number of rounds of the first part.

    Returns:
        Class of each row `(N,)`, and price of each class `(K,)`, the lowest 0: up to rounding, no other class has a
        higher value less price for a row than its own.
    """
    rows = _Rows(values, wanted, np.zeros(len(wanted)))
    rows.raise_prices(rounds)
    if rows.left() > LEFT * len(wanted):  # nearly all rows prefer the same classes
        alone = [-max(count, 1) for count in wanted.tolist()]
        dear = [np.partition(column, place)[place] for column, place in zip(values.T, alone, strict=True)]
        other = _Rows(values, wanted, np.array(dear))  # start prices as if each class were alone
        other.raise_prices(rounds)
        rows = min(rows, other, key=_Rows.left)
    rows.settle()
    return rows.chosen, rows.low_prices(clear)


class _Rows:
    """Rows in classes. Invariant: no row prefers another class at the current prices."""

    def __init__(self, values: np.ndarray, wanted: np.ndarray, prices: np.ndarray) -> None:
        self.values, self.prices = values, prices
        parts = np.array_split(values, -(-len(values) // CHUNK))
        self.chosen = np.concatenate([(part - prices).argmax(1) for part in parts])
        counts = np.bincount(self.chosen, minlength=len(wanted))
        self.members = np.split(np.argsort(self.chosen, kind="stable"), np.cumsum(counts)[:-1])
        self.surplus = counts - wanted

    def left(self) -> int:
        """Number of surplus rows over all classes."""
        return int(np.maximum(self.surplus, 0).sum())

    def raise_prices(self, rounds: int) -> None:
        """Raise the price of the class with the largest surplus until it is gone, as long as this makes progress."""
        worked, left = 0, self.left()
        for _ in range(rounds):
            own = int(self.surplus.argmax())
            if self.surplus[own] <= 0:
                return
            worked += len(self.members[own])
            self._raise(own)
            if worked >= PATIENCE * len(self.values):
                before, left, worked = left, self.left(), 0
                if before - left < PATIENCE * len(self.prices) / 2:  # a chain costs as much as the rows of two classes
                    return

    def _raise(self, own: int) -> None:
        rows, number = self.members[own], self.surplus[own]
        best = np.concatenate([worth.max(1) for worth in self._worth_elsewhere(rows, own)])
        margins = self.values[rows, own] - self.prices[own] - best
        going = np.argpartition(margins, number - 1)[:number]
        rows = rows[going]
        liked = np.concatenate([worth == worth.max(1)[:, None] for worth in self._worth_elsewhere(rows, own)])
        self.prices[own] += max(0.0, margins[going].max())
        targets, free = liked.argmax(1), liked.sum(1) > 1
        # Rows indifferent between several classes go to one with a deficit.
        for other in np.argsort(self.surplus) if free.any() else ():
            if self.surplus[other] >= 0:
                break
            taken = np.flatnonzero(free & liked[:, other])[: -self.surplus[other]]
            targets[taken], free[taken] = other, False
        self._move(rows, own, targets)

    def _worth_elsewhere(self, rows: np.ndarray, own: int) -> Iterator[np.ndarray]:
        """Values less prices of other classes for the rows of one, `(n, K)`, in chunks of rows."""
        for start in range(0, len(rows), CHUNK):
            worth = self.values[rows[start : start + CHUNK]] - self.prices
            worth[:, own] = -np.inf
            yield worth

    def _move(self, rows: np.ndarray, source: int, targets: np.ndarray) -> None:
        self.chosen[rows] = targets
        members = self.members[source]
        self.members[source] = members[self.chosen[members] == source]
        self.surplus[source] -= len(rows)
        order = np.argsort(targets, kind="stable")
        classes, starts = np.unique(targets[order], return_index=True)
        for target, part in zip(classes, np.split(rows[order], starts[1:]), strict=True):
            self.members[target] = np.append(self.members[target], part)
            self.surplus[target] += len(part)

    def settle(self) -> None:
        """Pass the last rows from classes with a surplus to classes with a deficit, by the cheapest chains."""
        classes = np.arange(len(self.prices))
        # Smallest loss of a class from passing a row on to another class, and that row.
        self.losses = np.full((len(classes), len(classes)), np.inf)
        self.losers = np.full((len(classes), len(classes)), -1)
        for own in classes.tolist():
            self._look_for_losers(own, classes)
        while self.surplus.any():
            chain = self._cheapest_chain()
            links = list(zip(chain, chain[1:], strict=False))
            passing = [self._alike(source, target) for source, target in links]
            number = min(self.surplus[chain[0]], -self.surplus[chain[-1]], *map(len, passing))
            for (source, target), rows in zip(links, passing, strict=True):
                going = rows[-number:]  # the first may also be the cheapest row for other classes
                self._move(going, source, np.full(number, target))
                losses = self.values[going, target][:, None] - self.values[going]
                least = losses.argmin(0)
                less = losses[least, classes] < self.losses[target]
                self.losses[target, less] = losses[least, classes][less]
                self.losers[target, less] = going[least[less]]
            for own in chain[:-1]:
                self._look_for_losers(own, np.flatnonzero(self.chosen[self.losers[own]] != own))

    def _alike(self, source: int, target: int) -> np.ndarray:
        """Rows of a class with the smallest loss in another class; all of them may move at once."""
        rows = self.members[source]
        losses = self.values[rows, source] - self.values[rows, target]
        return rows[losses == losses.min()]

    def _look_for_losers(self, own: int, others: np.ndarray) -> None:
        rows = self.members[own]
        if not len(rows):
            self.losses[own] = np.inf
            return
        least, lost = np.full(len(others), -1), np.full(len(others), np.inf)
        for part in np.array_split(rows, -(-len(rows) // CHUNK)):
            losses = self.values[part, own][:, None] - self.values[np.ix_(part, others)]
            first = losses.argmin(0)
            found = losses[first, np.arange(len(others))]
            least, lost = np.where(found < lost, part[first], least), np.minimum(found, lost)
        self.losses[own, others], self.losers[own, others] = lost, least

    def _costs(self) -> np.ndarray:
        """Cost of passing a row on at the current prices, `(K, K)`; clipped so that rounding cannot make it a gain."""
        return np.maximum(self.losses - self.prices[:, None] + self.prices, 0)

    def _cheapest_chain(self) -> list[int]:
        """Cheapest chain of classes from one with a surplus to one with a deficit (Dijkstra's algorithm).

        Prices along the way rise such that the chain costs nothing.
        """
        costs = self._costs()
        distance = np.where(self.surplus > 0, 0.0, np.inf)
        before, done = np.full(len(distance), -1), np.zeros(len(distance), bool)
        while self.surplus[own := int(np.where(done, np.inf, distance).argmin())] >= 0:
            done[own] = True
            through = distance[own] + costs[own]
            nearer = through < distance
            distance[nearer], before[nearer] = through[nearer], own
        self.prices[done] += distance[own] - distance[done]
        chain = [own]
        while before[chain[-1]] >= 0:
            chain.append(int(before[chain[-1]]))
        return chain[::-1]

    def low_prices(self, clear: float) -> np.ndarray:
        """Lowest prices at which no row prefers another class, plus up to `clear` where that breaks ties.

        Prices may differ as far as the cheapest chains between classes allow (Floyd and Warshall's algorithm); the mean
        of these bounds is well inside them.
        """
        some = np.array([len(rows) > 0 for rows in self.members])
        prices, chains = self.prices[some], self._costs()[np.ix_(some, some)].T
        np.fill_diagonal(chains, 0)
        for by in range(len(chains)):
            np.minimum(chains, chains[:, by, None] + chains[by], out=chains)
        least = prices - (chains + prices).min(1)
        above = prices + (chains.mean(0) - chains.mean(1)) / 2 - least
        above -= above.min()
        result = np.empty(len(some))
        result[some] = least + above * min(1.0, clear / max(above.max(), 1e-300))
        if not some.all():  # classes without rows
            result[~some] = (result[some, None] - self.losses[np.ix_(some, ~some)]).max(0) + clear
        return result - result.min()

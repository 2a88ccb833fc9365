"""As many rows of each class as asked for, with the largest sum of values: an assignment, and the prices behind it."""

from collections.abc import Iterator

import numpy as np

PATIENCE = 4  # times that as many rows as there are may be looked at for little
LEFT = 4  # rows for each class that chains settle in seconds
CHUNK = 4096  # rows at a time


def balance(
    values: np.ndarray, wanted: np.ndarray, clear: float = 1e-3, rounds: int = 100_000
) -> tuple[np.ndarray, np.ndarray]:
    """Give every row a class, such that each class has as many rows as asked for and the sum of the values is largest.

    An assignment with capacities. `scipy.optimize.linear_sum_assignment` needs a column for every place, 100 GB for
    112,200 rows; here everything happens between classes, of which there are few:

    1. As Quick, Draw!'s competitors did, but with sorted margins in place of small steps: the class with the most rows
       too many gets dearer until these prefer another one.
    2. That may go on for ever, since classes hand the same rows round. The last ones are settled by successive shortest
       paths (Ahuja, Magnanti & Orlin, Network Flows, 1993, 9.7): along the chain of classes that costs least, from one
       with too many rows to one with too few, each passes a row on to the next.

    Args:
        values: `(N, K)`, finite.
        wanted: `(K,)`, rows of each class; they sum to N.
        clear: by how much prices may be above the least ones, such that rows prefer their class clearly.
        rounds: of the first part at most.

    Returns:
        The class of each row `(N,)`, and the price of each class `(K,)`, the least one 0: to no row another class is
        worth more, value less price, than its own, but for the last digit.
    """
    rows = _Rows(values, wanted, np.zeros(len(wanted)))
    rows.raise_prices(rounds)
    if rows.left() > LEFT * len(wanted):  # nearly all rows like the same classes
        alone = [-max(count, 1) for count in wanted.tolist()]
        dear = [np.partition(column, place)[place] for column, place in zip(values.T, alone, strict=True)]
        other = _Rows(values, wanted, np.array(dear))  # each class begins as dear as if it were alone
        other.raise_prices(rounds)
        rows = min(rows, other, key=_Rows.left)
    rows.settle()
    return rows.chosen, rows.low_prices(clear)


class _Rows:
    """Rows in classes. At no time a row prefers another class at the present prices."""

    def __init__(self, values: np.ndarray, wanted: np.ndarray, prices: np.ndarray) -> None:
        self.values, self.prices = values, prices
        parts = np.array_split(values, -(-len(values) // CHUNK))
        self.chosen = np.concatenate([(part - prices).argmax(1) for part in parts])
        counts = np.bincount(self.chosen, minlength=len(wanted))
        self.members = np.split(np.argsort(self.chosen, kind="stable"), np.cumsum(counts)[:-1])
        self.surplus = counts - wanted

    def left(self) -> int:
        """Rows that their classes have too many."""
        return int(np.maximum(self.surplus, 0).sum())

    def raise_prices(self, rounds: int) -> None:
        """Raise the price of the class with the most rows too many until they prefer others, as long as this helps."""
        worked, left = 0, self.left()
        for _ in range(rounds):
            own = int(self.surplus.argmax())
            if self.surplus[own] <= 0:
                return
            worked += len(self.members[own])
            self._raise(own)
            if worked >= PATIENCE * len(self.values):
                before, left, worked = left, self.left(), 0
                if before - left < PATIENCE * len(self.prices) / 2:  # a chain costs what the rows of two classes do
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
        # Rows that like several others alike go where some are lacking.
        for other in np.argsort(self.surplus) if free.any() else ():
            if self.surplus[other] >= 0:
                break
            taken = np.flatnonzero(free & liked[:, other])[: -self.surplus[other]]
            targets[taken], free[taken] = other, False
        self._move(rows, own, targets)

    def _worth_elsewhere(self, rows: np.ndarray, own: int) -> Iterator[np.ndarray]:
        """What other classes are worth to the rows of one, `(n, K)`, some rows at a time."""
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
        """Bring the last rows from classes with too many to classes with too few, by the cheapest chains."""
        classes = np.arange(len(self.prices))
        # What a class loses by passing a row on to another, where it loses least, and that row.
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
                going = rows[-number:]  # the first of them may be the loser to other classes too
                self._move(going, source, np.full(number, target))
                losses = self.values[going, target][:, None] - self.values[going]
                least = losses.argmin(0)
                less = losses[least, classes] < self.losses[target]
                self.losses[target, less] = losses[least, classes][less]
                self.losers[target, less] = going[least[less]]
            for own in chain[:-1]:
                self._look_for_losers(own, np.flatnonzero(self.chosen[self.losers[own]] != own))

    def _alike(self, source: int, target: int) -> np.ndarray:
        """The rows of a class that lose least in another; all of them may go at once."""
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
        """What passing a row on costs at the present prices, `(K, K)`; rounding must not make it a gain."""
        return np.maximum(self.losses - self.prices[:, None] + self.prices, 0)

    def _cheapest_chain(self) -> list[int]:
        """Classes from one with too many rows to one with too few (Dijkstra's algorithm).

        The prices on the way go up, such that the chain costs nothing.
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
        """The least prices at which no row prefers another class, and up to `clear` more where that decides rows.

        Prices may differ from each other as far as the cheapest chains between classes allow (Floyd and Warshall's
        algorithm); the mean of all these limits is well inside of them.
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
        if not some.all():  # classes that shall have no row
            result[~some] = (result[some, None] - self.losses[np.ix_(some, ~some)]).max(0) + clear
        return result - result.min()

"""Least-squares weights, in one pass over the images."""

import numpy as np

from ensembling.rules import normalised

Sums = tuple[np.ndarray, np.ndarray]


class Squares:
    """Products of the members' probabilities with each other and with the target, summed per fold.

    Every image counts equally, whatever its size, and so does every output. Memory: two small matrices per fold.

    Args:
        members: number of members.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self.sums: dict[int, Sums] = {}

    def add(self, part: int, outputs: dict[str, list[np.ndarray]], targets: dict[str, np.ndarray]) -> None:
        """Add an image.

        Args:
            part: fold of the image.
            outputs: probabilities `(C, …)` of each member by output name, of one shape.
            targets: target arrays; those with the name of an output are used. 0 and 1 of the same shape (or without the
                axis of a single channel), or class numbers, of which those out of range (255, void) are ignored, as are
                pixels where `valid` is False.

        Raises:
            ValueError: no output has a target of its name, or its shape differs.
        """
        names = sorted(set(outputs) & set(targets))
        if not names:
            raise ValueError(
                f"least_squares needs targets with the names of outputs; outputs are {sorted(outputs)}, targets "
                f"{sorted(targets)}; use hill_climb"
            )
        products, with_target = self.sums.setdefault(part, (np.zeros([self.members] * 2), np.zeros(self.members)))
        for name in names:
            wanted, counted = as_probabilities(targets[name], outputs[name][0].shape, name)
            if "valid" in targets and targets["valid"].shape == counted.shape:
                counted = counted & targets["valid"]
            if counted.any():
                values = np.stack([array[:, counted].reshape(-1) for array in outputs[name]]).astype(np.float64)
                products += values @ values.T / values.shape[1]
                with_target += values @ wanted[:, counted].reshape(-1) / values.shape[1]

    def weights(self, without: int | None = None) -> np.ndarray:
        """Best weights `(M,)` over all folds but one."""
        parts = [sums for part, sums in self.sums.items() if part != without]
        return least_squares(np.sum([p for p, _ in parts], axis=0), np.sum([t for _, t in parts], axis=0))


def as_probabilities(target: np.ndarray, shape: tuple[int, ...], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Convert a target to 0 and 1 `(C, …)`, and a mask of what counts `(…)`."""
    if target.shape == shape:
        planes = target
    elif shape[0] == 1 and target.shape == shape[1:]:
        planes = target[None]
    elif target.shape == shape[1:] or target.shape == (1, *shape[1:]):
        numbers = target.reshape(shape[1:])
        counted = (numbers >= 0) & (numbers < shape[0])
        classes = np.arange(shape[0]).reshape(-1, *[1] * numbers.ndim)
        return (numbers == classes).astype(np.float64), counted
    else:
        raise ValueError(f"target {name!r} is {target.shape}, output {shape}; use hill_climb")
    counted = ((planes == 0) | (planes == 1)).all(axis=0)
    return planes.astype(np.float64), counted


def least_squares(products: np.ndarray, with_target: np.ndarray) -> np.ndarray:
    """Weights of least mean squared error (the Brier score), at least 0 and with sum 1, by SLSQP.

    Args:
        products: mean products of the members' values with each other `(M, M)`.
        with_target: mean products with the target `(M,)`.

    Returns:
        Weights `(M,)`, the global optimum: the problem is convex.
    """
    from scipy.optimize import minimize

    members = len(with_target)
    scale = max(float(np.abs(products).max()), 1e-12)  # SLSQP stops by absolute differences
    matrix, vector = products / scale, with_target / scale
    found = minimize(
        lambda w: w @ matrix @ w - 2 * vector @ w,
        np.full(members, 1 / members),
        jac=lambda w: 2 * (matrix @ w - vector),
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(members)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    return normalised(np.clip(found.x, 0, None), members)

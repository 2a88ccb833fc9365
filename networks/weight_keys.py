"""Weights of a file under the names of a network: prefixes, flattened names, first layers of other channels."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from networks.first_layer import repack

COUNT = "num_batches_tracked"  # files from before torch 1.0 lack it; only a momentum of None uses it
HEADS = ("fc", "classifier", "head", "heads", "last_linear", "_fc")  # classifiers, which may be of other classes


@dataclass(frozen=True)
class FittedState:
    """Weights of a file under the names of a network.

    Args:
        values: state dict of the network.
        matched: number of tensors that come from the file, without counts of batches.
        unused: modules of the file that the network lacks.
        random: modules of the network that the file lacks.
    """

    values: dict[str, Tensor]
    matched: int
    unused: list[str]
    random: list[str]

    @property
    def total(self) -> int:
        """Number of tensors of the network, without counts of batches."""
        return sum(not key.endswith(COUNT) for key in self.values)


def fit_state(
    state: dict[str, Tensor],
    expected: dict[str, Tensor],
    copies: list[int] | None = None,
    heads: Iterable[str] = HEADS,
    checked: bool = False,
) -> tuple[FittedState, list[str]]:
    """Weights under the names that a network expects, and a line for each that does not fit.

    Names may differ by a prefix (`layer1.0…`, `encoder.layer1.0…`, `model.layer1.0…`) and by flattened containers
    (`stages.0…`, `stages_0…`). A module of the file that the network lacks is left out; a deeper network of the same
    kind does not fit.

    Args:
        state: weights of the file.
        expected: state dict of the network.
        copies: as in `first_layer.spread`.
        heads: modules that may be missing or of another shape, and then keep the values of `expected`.
        checked: whether all weights of the file are known to belong to a network of this name.
    """
    inside, outside = find_prefixes(state, expected)
    sources = match_names(state, expected, inside, outside)
    values, matched, random, wrong = {}, 0, [], []
    stem = next((key for key, value in expected.items() if value.ndim >= 4), None)
    for key, value in expected.items():
        source = sources.get(key)
        head = key.removeprefix(outside).startswith(tuple(f"{one}." for one in heads))
        found = None if source is None else adapted(state[source], value, copies, first=key == stem)
        if found is not None:
            values[key], matched = found, matched + (not key.endswith(COUNT))
        elif head or key.endswith(COUNT):
            values[key] = value
            random += [part(key.removeprefix(outside))] if head else []
        else:
            wrong.append(f"missing {key}" if source is None else shapes(key, state[source], value))
    used = set(sources.values())
    known = {part(key.removeprefix(inside)) for key in used}
    left = [key for key in state if key not in used and not key.endswith(COUNT)]
    if not checked:
        extra = [key for key in left if key.startswith(inside) and part(key.removeprefix(inside)) in known]
        wrong = [f"unknown {key}" for key in extra] + wrong
    unused = list(dict.fromkeys(part(key.removeprefix(inside)) for key in left))
    return FittedState(values, matched, unused, list(dict.fromkeys(random))), wrong


def part(key: str) -> str:
    """The outermost module of a weight."""
    return key.partition(".")[0]


def adapted(value: Tensor, expected: Tensor, copies: list[int] | None, first: bool) -> Tensor | None:
    """The value for the expected shape: of a layer that sees the image, for its channels. None if it does not fit."""
    if value.shape == expected.shape:
        return repack(value, value.shape[1], copies) if first and copies is not None else value
    image = value.ndim >= 4 and value.shape[1] in (1, 3)
    if not image or (value.shape[0], *value.shape[2:]) != (expected.shape[0], *expected.shape[2:]):
        return None
    return repack(value, expected.shape[1], copies)


def find_prefixes(state: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[str, str]:
    """The prefixes of the names in the file and in the network under which most weights agree."""
    inside = sorted({chain for key in state for chain in chains(key)}, key=len)
    first = next(iter(expected), "")
    outside = [chain for chain in chains(first) if all(key.startswith(chain) for key in expected)]
    best, most = ("", ""), -1
    for pair in ((one, other) for one in inside for other in outside):
        number = len(match_names(state, expected, *pair))
        if number > most:
            best, most = pair, number
        if number == len(expected):
            break
    return best


def chains(key: str) -> list[str]:
    """Up to three outermost modules of a weight, as prefixes: ``, `encoder.`, `encoder.layer1.`, …"""
    parts = key.split(".")[:-1][:3]
    return ["", *(".".join(parts[:number]) + "." for number in range(1, len(parts) + 1))]


def match_names(state: dict[str, Tensor], expected: dict[str, Tensor], inside: str, outside: str) -> dict[str, str]:
    """Name in the network -> name in the file, of weights of equal names after the prefixes."""
    flat = {key.removeprefix(inside).replace(".", "_"): key for key in state if key.startswith(inside)}
    wanted = {key: key.removeprefix(outside).replace(".", "_") for key in expected}
    return {key: flat[name] for key, name in wanted.items() if name in flat}


def misfits(state: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """Missing and unknown weights, and those of another shape, one line each."""
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unknown {key}" for key in state if key not in expected]
    both = [key for key in state if key in expected]
    return wrong + [shapes(key, state[key], expected[key]) for key in both if state[key].shape != expected[key].shape]


def shapes(key: str, value: Tensor, expected: Tensor) -> str:
    return f"{key}: file {tuple(value.shape)}, network {tuple(expected.shape)}"


def misfit_text(what: str, wrong: list[str]) -> str:
    shown = "\n  ".join(wrong[:20])
    return f"{what}: {len(wrong)} weights do not fit the encoder:\n  {shown}"

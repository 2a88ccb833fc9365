"""One common output of members whose heads answer the same question in other classes."""

import re

import numpy as np

Arrays = dict[str, np.ndarray]
FORM = re.compile(r"\s*(\w+)\s*(?:\[\s*(\d+(?:\s*,\s*\d+)*)\s*\])?\s*")
SLACK = 0.01  # by which a sum of probabilities may pass 1: what bytes and halves round


class Heads:
    """What a member's outputs become before they meet those of other members.

    RSNA pneumonia's 1st place averaged networks with two and with three classes by their P(opacity): of
    `normal, opacity, neither` that is `label[1]`, and `label[1, 2]` would be P(not normal).

    Args:
        outputs: name of a common output -> `output` as it is, or `output[channels]`: the sum of these channels,
            `(K,)` -> `(1,)`, `(C, …)` -> `(1, …)`. Outputs that are not named are left out.

    Raises:
        ValueError: none is given, or a text that does not read so.
    """

    def __init__(self, outputs: dict[str, str]) -> None:
        if not outputs:
            raise ValueError("no output is named; write {common output: 'output[channel]'}")
        self.taken: dict[str, tuple[str, list[int]]] = {}
        for name, text in outputs.items():
            found = FORM.fullmatch(text)
            if found is None:
                raise ValueError(f"{name}: {text!r} is no output with channels, such as label, label[1], label[1, 2]")
            channels = [int(number) for number in (found[2] or "").split(",") if number.strip()]
            if len(set(channels)) < len(channels):
                raise ValueError(f"{name}: {text!r} has a channel twice")
            self.taken[name] = found[1], channels

    @property
    def sources(self) -> list[str]:
        """The member's own outputs that are read."""
        return list(dict.fromkeys(source for source, _ in self.taken.values()))

    def __call__(self, entry: Arrays) -> Arrays:
        """The common outputs of one image.

        Raises:
            ValueError: a channel that is not there, or channels that do not exclude each other: their sum passes 1.
        """
        return {name: _sum(entry[source], source, channels) for name, (source, channels) in self.taken.items()}


def _sum(array: np.ndarray, source: str, channels: list[int]) -> np.ndarray:
    if not channels:
        return array
    if not array.ndim or max(channels) >= len(array):
        raise ValueError(f"output {source!r} is {array.shape} and has no channel {max(channels)}")
    total = array[channels].sum(axis=0, keepdims=True)
    if len(channels) > 1 and total.size and total.max() > 1 + SLACK:
        raise ValueError(
            f"channels {channels} of output {source!r} sum to {total.max():.2f}: they do not exclude each other, so "
            "their sum is no probability"
        )
    return np.minimum(total, 1) if len(channels) > 1 else total

"""A common output for members whose heads answer the same question in different classes."""

import re

import numpy as np

Arrays = dict[str, np.ndarray]
FORM = re.compile(r"\s*(\w+)\s*(?:\[\s*(\d+(?:\s*,\s*\d+)*)\s*\])?\s*")
SLACK = 0.01  # tolerance of sums of probabilities above 1, for rounding by uint8 and float16


class OutputMapping:
    """Mapping from a member's outputs to common outputs of all members.

    RSNA pneumonia's 1st place averaged networks with two and with three classes by their P(opacity): of
    `normal, opacity, neither` that is `label[1]`, and `label[1, 2]` would be P(not normal).

    Args:
        outputs: by name of the common output: `output` unchanged, or `output[channels]`, the sum of these channels,
            `(K,)` -> `(1,)`, `(C, …)` -> `(1, …)`. Other outputs are dropped.

    Raises:
        ValueError: `outputs` is empty, or a text has another form.
    """

    def __init__(self, outputs: dict[str, str]) -> None:
        if not outputs:
            raise ValueError("no outputs are given; write {common output: 'output[channel]'}")
        self.taken: dict[str, tuple[str, list[int]]] = {}
        for name, text in outputs.items():
            found = FORM.fullmatch(text)
            if found is None:
                raise ValueError(
                    f"{name}: {text!r} is not an output with channels, such as label, label[1], label[1, 2]"
                )
            channels = [int(number) for number in (found[2] or "").split(",") if number.strip()]
            if len(set(channels)) < len(channels):
                raise ValueError(f"{name}: {text!r} has a repeated channel")
            self.taken[name] = found[1], channels

    @property
    def sources(self) -> list[str]:
        """Names of the member's own outputs to read."""
        return list(dict.fromkeys(source for source, _ in self.taken.values()))

    def __call__(self, entry: Arrays) -> Arrays:
        """Compute the common outputs of one image.

        Raises:
            ValueError: a channel is missing, or channels are not exclusive: their sum is above 1.
        """
        return {name: _sum(entry[source], source, channels) for name, (source, channels) in self.taken.items()}


def _sum(array: np.ndarray, source: str, channels: list[int]) -> np.ndarray:
    if not channels:
        return array
    if not array.ndim or max(channels) >= len(array):
        raise ValueError(f"output {source!r} is {array.shape}, it has no channel {max(channels)}")
    total = array[channels].sum(axis=0, keepdims=True)
    if len(channels) > 1 and total.size and total.max() > 1 + SLACK:
        raise ValueError(
            f"channels {channels} of output {source!r} sum to {total.max():.2f}, expected at most 1: they are not "
            "exclusive, so their sum is not a probability"
        )
    return np.minimum(total, 1) if len(channels) > 1 else total

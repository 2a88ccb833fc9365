"""Names of a network's outputs, and their activations."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Names = Sequence[str | Sequence[str]]


def flat_names(names: Names) -> list[str]:
    """`[[body, border], empty]` -> `[body, border, empty]`; `[[body, "kind:4"]]` -> `[body, kind]`."""
    return [name for entry in names for name in ([entry] if isinstance(entry, str) else channel_counts(entry))]


def channel_counts(entry: Sequence[str]) -> dict[str, int]:
    """`[body, "kind:4"]` -> `{body: 1, kind: 4}`.

    Raises:
        ValueError: not a number of channels after a colon.
    """
    counts = {}
    for name in entry:
        bare, colon, count = name.partition(":")
        if colon and not (count.isdecimal() and int(count) > 0):
            raise ValueError(f"model.outputs has {name!r}, expected a name, or name:channels with 1 or more channels")
        counts[bare] = int(count or 1)
    return counts


def name_outputs(result: Tensor | Sequence[Tensor] | dict, names: Names) -> dict[str, Tensor | list[Tensor]]:
    """Convert the result of a network to a dict of logits.

    Args:
        result: a tensor `(N, C, *spatial)` or `(N, C)`, a tuple or list of these (smp with `aux_params` returns
            `(mask, label)`), or a dict with all names.
        names: one entry per tensor. A string names the tensor; a list of strings splits its channels evenly, one name
            per part: `[[body, border], empty]`. If a name of the list ends in a number of channels, others have one:
            `[[body, border, "kind:4"]]`.

    Raises:
        ValueError: the number of tensors is not that of names, or channels do not split in this way.
    """
    flat = flat_names(names)
    if isinstance(result, dict):
        missing = [name for name in flat if name not in result]
        if missing:
            raise ValueError(f"model.outputs names {missing}, but the network returned {sorted(result)}")
        return {name: result[name] for name in flat}
    tensors = [result] if isinstance(result, Tensor) else list(result)
    if len(names) == 1 and len(tensors) > 1:
        # one name for several tensors: deep supervision
        return {flat[0]: tensors}
    if len(tensors) != len(names):
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(
            f"model.outputs has {len(names)} entries ({list(names)}), but the network returned {len(tensors)} "
            f"tensors of shapes {shapes}; set one entry per tensor (a list entry splits one tensor's channels)"
        )
    outputs: dict[str, Tensor | list[Tensor]] = {}
    for tensor, entry in zip(tensors, names, strict=True):
        if isinstance(entry, str):
            outputs[entry] = tensor
            continue
        counts, channels = channel_counts(entry), tensor.shape[1]
        if not any(":" in name for name in entry):  # evenly
            if channels % len(entry):
                raise ValueError(
                    f"model.outputs splits a tensor of {channels} channels into {list(entry)}, expected a "
                    f"multiple of {len(entry)} channels; set the network's `classes`"
                )
            counts = dict.fromkeys(entry, channels // len(entry))
        total = sum(counts.values())
        if total != channels:
            raise ValueError(
                f"model.outputs splits a tensor of {channels} channels into {list(entry)}, which are {total}; set "
                f"the network's `classes` to {total}"
            )
        outputs |= zip(counts, tensor.split(list(counts.values()), dim=1), strict=True)
    return outputs


def activate(logits: Tensor, activation: str) -> Tensor:
    """Activated logits `(N, C, ...)`: `sigmoid`, `softmax` over the channels, `none`, or `unit` (length 1)."""
    logits = logits.float()
    if activation == "sigmoid":
        return logits.sigmoid()
    if activation == "softmax":
        return logits.softmax(dim=1)
    return F.normalize(logits) if activation == "unit" else logits


def deactivate(probabilities: Tensor, activation: str) -> Tensor:
    """Logits of averaged probabilities, which losses need."""
    if activation == "sigmoid":
        return torch.logit(probabilities, eps=1e-6)
    if activation == "softmax":
        return probabilities.clamp_min(1e-6).log()
    return probabilities

"""Average the weights of several checkpoints."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from files.atomic import atomic_path
from lightning_modules.depth import KEY
from lightning_modules.weights import read_checkpoint

KEPT = ("epoch", "global_step", "pytorch-lightning_version", "model", "folds_hash", KEY)


NORMALISATION = ("input_range", "mean", "std")


def rank_of(path: Path, by_score: bool) -> float:
    """Sort key of a checkpoint, larger is better: the score it was kept for, or the optimizer step."""
    content = read_checkpoint(path)
    if not by_score:
        return float(content["global_step"])
    for name, state in content.get("callbacks", {}).items():
        if name.startswith("TopCheckpoints") and state.get("current_score") is not None:
            return float(state["current_score"]) * (1 if state["mode"] == "max" else -1)
    raise ValueError(f"{path} has no score or step; expected a checkpoint written by callbacks.TopCheckpoints")


def average(files: list[Path]) -> dict[str, Any]:
    """Average the weights of checkpoints; integer tensors and metadata are copied from the first checkpoint.

    Means are computed in float64, with one file in memory at a time.

    Raises:
        ValueError: if weight names, shapes or normalisation differ between files.
    """
    first = read_checkpoint(files[0])
    state = first["state_dict"]
    sums = {name: value.double() for name, value in state.items() if value.is_floating_point()}
    for file in files[1:]:
        other = read_checkpoint(file)["state_dict"]
        check_alike(state, other, files[0], file)
        for name, total in sums.items():
            total += other[name].double()
    means = {name: (total / len(files)).to(state[name].dtype) for name, total in sums.items()}
    content = {key: first[key] for key in KEPT if key in first}
    return content | {"state_dict": state | means, "averaged": [file.name for file in files]}


def check_alike(state: dict[str, Tensor], other: dict[str, Tensor], first: Path, file: Path) -> None:
    """Check that two networks can be averaged."""
    if state.keys() != other.keys():
        different = sorted(state.keys() ^ other.keys())
        raise ValueError(
            f"{first} and {file} contain different networks: {len(different)} weights differ, first {different[0]}"
        )
    for name, value in state.items():
        if value.shape != other[name].shape:
            raise ValueError(
                f"{name} has the shape {tuple(value.shape)} in {first}, {tuple(other[name].shape)} in {file}"
            )
        if name in NORMALISATION and not torch.equal(value, other[name]):
            raise ValueError(f"model.{name} is {value.flatten().tolist()} in {first} but differs in {file}")


def write(content: dict[str, Any], path: Path) -> Path:
    """Save a checkpoint atomically."""
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return path

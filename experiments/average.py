"""The verb `average`: one checkpoint whose weights are the mean of several."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from augmentations.base import on_batch
from experiments.config import read_config
from experiments.loading import build_module
from experiments.run_folder import RunFolder
from lightning_modules import BaseModule
from lightning_modules.depth import KEY
from lightning_modules.weights import read_checkpoint

KEPT = ("epoch", "global_step", "pytorch-lightning_version", "model", "folds_hash", KEY)
NORMALISATION = ("input_range", "mean", "std")


def main(verb: str, arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""

    def options(parser: Any) -> None:
        add = parser.add_argument
        add("--top", type=int | None, default=None, help="Average so many of the best that TopCheckpoints kept.")
        add("--last", type=int | None, default=None, help="Average so many of the newest top-* and snapshot-*.")
        add("--checkpoints", type=list[str] | None, default=None, help="Average these: names in the run, or paths.")
        add("--output", type=str, default="average", help="Name of the file that is written into checkpoints/.")
        add("--batchnorm", type=bool, default=True, help="Estimate statistics of batch norms again on training data.")
        add("--batches", type=int | None, default=None, help="Batches for that; one epoch unless given.")
        add("--device", type=str | None, default=None, help="torch device; CUDA where there is one.")

    config = read_config(verb, arguments, options, searched=False)
    try:
        if not arguments or not (Path(arguments[0]) / "config.yaml").is_file():
            raise ValueError("give the folder of one run: python cli.py average runs/<experiment>/fold0 --top 3")
        run, chosen = RunFolder(arguments[0]), config.options
        files = choose(run, chosen.top, chosen.last, chosen.checkpoints)
        content = average(files)
        if chosen.batchnorm:
            device = torch.device(chosen.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            content["state_dict"] = with_statistics(content, config.data, device, chosen.batches)
        print(f"{write(content, run.checkpoints / f'{chosen.output}.ckpt')}: the mean of")
        print("\n".join(f"  {file.name}" for file in files))
        print(f"next:  python cli.py validate {run.path} --ckpt_path {run.checkpoints / chosen.output}.ckpt")
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def choose(run: RunFolder, top: int | None, last: int | None, checkpoints: list[str] | None) -> list[Path]:
    """The files to average, the best or newest first.

    Raises:
        ValueError: not exactly one way to choose, or fewer checkpoints than asked for.
        FileNotFoundError: a named checkpoint that is not there.
    """
    if sum(way is not None for way in (top, last, checkpoints)) != 1:
        raise ValueError("say which checkpoints: --top N, --last N or --checkpoints [A, B, …], one of the three")
    if checkpoints is not None:
        return [named(run, name) for name in checkpoints]
    patterns = ["top-*.ckpt"] if top is not None else ["top-*.ckpt", "snapshot-*.ckpt"]
    found = [path for pattern in patterns for path in sorted(run.checkpoints.glob(pattern))]
    ranks = {path: rank_of(path, by_score=top is not None) for path in found}
    if last is not None:  # one step may have been kept for two reasons
        ranks = {path: rank for rank, path in {rank: path for path, rank in ranks.items()}.items()}
    wanted = top if top is not None else last
    if not 1 <= wanted <= len(ranks):
        raise ValueError(
            f"{run.checkpoints} holds {len(ranks)} of {' and '.join(patterns)}, {wanted} are asked for; train with "
            "trainer.callbacks: [{class_path: callbacks.TopCheckpoints, init_args: {k: " + str(max(wanted, 1)) + "}}]"
        )
    return sorted(ranks, key=lambda path: (-ranks[path], path.name))[:wanted]


def named(run: RunFolder, name: str) -> Path:
    """A checkpoint of the run by its name, or a path."""
    inside = run.checkpoints / (name if name.endswith(".ckpt") else f"{name}.ckpt")
    return inside if inside.is_file() else run.checkpoint(name)


def rank_of(path: Path, by_score: bool) -> float:
    """What sorts checkpoints, larger is better: the score that they were kept for, or the optimizer step."""
    content = read_checkpoint(path)
    if not by_score:
        return float(content["global_step"])
    for name, state in content.get("callbacks", {}).items():
        if name.startswith("TopCheckpoints") and state.get("current_score") is not None:
            return float(state["current_score"]) * (1 if state["mode"] == "max" else -1)
    raise ValueError(f"{path} does not say what it was kept for; it was not written by callbacks.TopCheckpoints")


def average(files: list[Path]) -> dict[str, Any]:
    """A checkpoint with the mean of the weights; integers, and what says how it was built, are those of the first.

    Means are taken in float64, one file in memory at a time.

    Raises:
        ValueError: other weights, shapes or normalisation in one of the files.
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
    """Raise where two networks cannot be averaged."""
    if state.keys() != other.keys():
        different = sorted(state.keys() ^ other.keys())
        raise ValueError(
            f"{first} and {file} are other networks: {len(different)} weights differ, {different[0]} first"
        )
    for name, value in state.items():
        if value.shape != other[name].shape:
            raise ValueError(f"{name} is {tuple(value.shape)} in {first}, {tuple(other[name].shape)} in {file}")
        if name in NORMALISATION and not torch.equal(value, other[name]):
            raise ValueError(f"model.{name} is {value.flatten().tolist()} in {first}, another one in {file}")


def with_statistics(
    content: dict[str, Any], data: Any, device: torch.device, batches: int | None = None
) -> dict[str, Tensor]:
    """The weights of a checkpoint with batch-norm statistics that belong to them, of augmented training data.

    Args:
        content: of `average`.
        data: the run's datamodule, not yet set up.
        device: where the network runs.
        batches: at most so many; None is one epoch.
    """
    module = build_module(content["model"])
    module.load_state_dict(content["state_dict"])
    if norms_of(module):
        data.prepare_data()
        data.setup("fit")
        estimate_norms(module.to(device), data.train_dataloader(), batches)
    return {name: value.cpu() for name, value in module.state_dict().items()}


def norms_of(module: BaseModule) -> list[_BatchNorm]:
    """Batch norms with statistics that training moves; those of frozen parts keep theirs."""
    module.network.train()
    found = [part for part in module.network.modules() if isinstance(part, _BatchNorm) and part.training]
    module.eval()
    return [norm for norm in found if norm.running_mean is not None]


@torch.no_grad()
def estimate_norms(module: BaseModule, loader: Iterable[dict[str, Any]], batches: int | None = None) -> None:
    """Replace the statistics of batch norms by the plain mean over batches (`torch.optim.swa_utils.update_bn`).

    Unlike there dropout is off, as in prediction, and frozen parts are left alone.

    Args:
        module: changed in place, on its device; left in evaluation mode.
        loader: training batches; `model.augmentation` is applied as in training.
        batches: at most so many; None takes them all.

    Raises:
        ValueError: no batch at all.
    """
    norms = norms_of(module)
    momenta = [norm.momentum for norm in norms]
    seen = 0
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    try:
        for seen, batch in enumerate(take(loader, batches), start=1):
            batch = move_data_to_device(batch, module.device)
            batch = on_batch(module.augmentation, batch, module._full, np.random.default_rng([0, seen]))
            module.network(*module.network_inputs(batch))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()
    if norms and not seen:
        raise ValueError("there is no training batch to estimate batch-norm statistics with; or set --batchnorm false")


def take(loader: Iterable, batches: int | None) -> Iterable:
    """The first batches; workers are not asked for more."""
    for number, batch in enumerate(loader):
        if number == batches:
            return
        yield batch


def write(content: dict[str, Any], path: Path) -> Path:
    """Save a checkpoint by a temporary name, so that nobody reads half of it."""
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)
    return path

"""The verb `average`: a checkpoint with the mean weights of several checkpoints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch import Tensor, nn

from augmentations.base import on_batch
from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from compat.torch import is_batch_norm
from experiments.averaging import average, rank_of, write
from experiments.loading import build_module
from experiments.run_folder import RunFolder
from lightning_modules import BaseModule


@dataclass
class Options:
    """Options of `average`.

    Args:
        top: Number of best checkpoints kept by TopCheckpoints to average.
        last: Number of newest top-* and snapshot-* checkpoints to average.
        checkpoints: Checkpoints to average: names within the run, or paths.
        output: Name of the output file in checkpoints/, without .ckpt.
        batchnorm: Whether to recompute BatchNorm statistics on training data.
        batches: Number of training batches for BatchNorm statistics; by default, one epoch.
        device: torch device; by default, CUDA if available, else the CPU.
    """

    top: int | None = None
    last: int | None = None
    checkpoints: list[str] | None = None
    output: str = "average"
    batchnorm: bool = True
    batches: int | None = None
    device: str | None = None


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    config = read_config("average", arguments, Options, "RUN_FOLDER", searched=False, loaders=True)
    try:
        folder = CommandLine.read(arguments).folder()
        if folder is None or not (folder / "config.yaml").is_file():
            raise ValueError("give the folder of one run: python cli.py average runs/<experiment>/fold0 --top 3")
        run, chosen = RunFolder(folder), config.options
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
        ValueError: if not exactly one selection is given, or there are fewer checkpoints than requested.
        FileNotFoundError: if a named checkpoint does not exist.
    """
    if sum(way is not None for way in (top, last, checkpoints)) != 1:
        raise ValueError("no checkpoints selected; give exactly one of --top N, --last N and --checkpoints [A, B, …]")
    if checkpoints is not None:
        return [checkpoint_named(run, name) for name in checkpoints]
    patterns = ["top-*.ckpt"] if top is not None else ["top-*.ckpt", "snapshot-*.ckpt"]
    found = [path for pattern in patterns for path in sorted(run.checkpoints.glob(pattern))]
    ranks = {path: rank_of(path, by_score=top is not None) for path in found}
    if last is not None:  # one step may be saved twice, as top-* and snapshot-*
        ranks = {path: rank for rank, path in {rank: path for path, rank in ranks.items()}.items()}
    wanted = top if top is not None else last
    if not 1 <= wanted <= len(ranks):
        raise ValueError(
            f"{run.checkpoints} contains {len(ranks)} of {' and '.join(patterns)}, expected {wanted}; train with "
            "trainer.callbacks: [{class_path: callbacks.TopCheckpoints, init_args: {k: " + str(max(wanted, 1)) + "}}]"
        )
    return sorted(ranks, key=lambda path: (-ranks[path], path.name))[:wanted]


def checkpoint_named(run: RunFolder, name: str) -> Path:
    """Find a checkpoint by its name in the run, or by its path."""
    inside = run.checkpoints / (name if name.endswith(".ckpt") else f"{name}.ckpt")
    return inside if inside.is_file() else run.checkpoint(name)


def with_statistics(
    content: dict[str, Any], data: Any, device: torch.device, batches: int | None = None
) -> dict[str, Tensor]:
    """Weights of a checkpoint with BatchNorm statistics recomputed on augmented training data.

    Args:
        content: checkpoint returned by `average`.
        data: datamodule of the run, not yet set up.
        device: device of the network.
        batches: maximum number of batches; None uses one epoch.
    """
    module = build_module(content["model"])
    module.load_state_dict(content["state_dict"])
    if norms_of(module):
        data.prepare_data()
        data.setup("fit")
        estimate_norms(module.to(device), data.train_dataloader(), batches)
    return {name: value.cpu() for name, value in module.state_dict().items()}


def norms_of(module: BaseModule) -> list[nn.Module]:
    """BatchNorm layers whose statistics are updated in training; frozen layers are excluded."""
    module.network.train()
    found = [part for part in module.network.modules() if is_batch_norm(part) and part.training]
    module.eval()
    return [norm for norm in found if norm.running_mean is not None]


@torch.no_grad()
def estimate_norms(module: BaseModule, loader: Iterable[dict[str, Any]], batches: int | None = None) -> None:
    """Replace BatchNorm statistics by the plain mean over batches, as `torch.optim.swa_utils.update_bn` does.

    Unlike `update_bn`, dropout is off, as in prediction, and frozen layers are left unchanged.

    Args:
        module: module to change in place, on its device; left in evaluation mode.
        loader: training batches; `model.augmentation` is applied as in training.
        batches: maximum number of batches; None uses all.

    Raises:
        ValueError: if there are no batches.
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
        raise ValueError(
            "no training batch to recompute BatchNorm statistics; check data.batch_size, or set --batchnorm false"
        )


def take(loader: Iterable, batches: int | None) -> Iterable:
    """The first batches, without requesting more from the workers."""
    for number, batch in enumerate(loader):
        if number == batches:
            return
        yield batch

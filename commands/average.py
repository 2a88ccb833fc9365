"""The verb `average`: one checkpoint whose weights are the mean of several."""

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
        top: Number of the best checkpoints that TopCheckpoints kept to average.
        last: Number of the newest top-* and snapshot-* checkpoints to average.
        checkpoints: Checkpoints to average: names in the run, or paths.
        output: Name of the file to write into checkpoints/.
        batchnorm: Recompute the statistics of batch norm layers on training data.
        batches: Number of training batches for these statistics; null: one epoch.
        device: torch device; null: CUDA where there is one, else the CPU.
    """

    top: int | None = None
    last: int | None = None
    checkpoints: list[str] | None = None
    output: str = "average"
    batchnorm: bool = True
    batches: int | None = None
    device: str | None = None


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
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


def norms_of(module: BaseModule) -> list[nn.Module]:
    """Batch norms with statistics that training moves; those of frozen parts keep theirs."""
    module.network.train()
    found = [part for part in module.network.modules() if is_batch_norm(part) and part.training]
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

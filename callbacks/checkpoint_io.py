"""Writing of checkpoint files."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

from files.atomic import FULL, atomic_path


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its file, flushes it to disk and renames it.

    Lightning 2.6 writes to the system's folder of temporary files and copies over the old checkpoint from there, so a
    kill or a full disk can leave neither. Used by `fit` unless `trainer.plugins` has another `CheckpointIO`.

    The former `last.ckpt` is kept as `last-1.ckpt`.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: if the file cannot be written; for a full disk with the needed and the free space. The former file
                is unchanged.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        try:
            with atomic_path(path) as temporary:
                _save(checkpoint, temporary)
                if Path(path).stem == "last" and Path(path).is_file():
                    _keep_former(Path(path))
        except OSError as error:
            if error.errno not in FULL:
                raise
            needed, free = checkpoint_size(checkpoint), shutil.disk_usage(Path(path).parent).free
            full = type(error)(f"{error}; needs about {in_bytes(needed)}, {in_bytes(free)} are free")
            full.errno = error.errno
            raise full from error


class AsyncDurableCheckpointIO(AsyncCheckpointIO):
    """Writes checkpoints in a thread, while training goes on.

    Training waits only for a copy of the tensors, which takes memory of the size of a checkpoint. Switched on by
    `trainer.plugins: [callbacks.AsyncDurableCheckpointIO]`.
    """

    def __init__(self) -> None:
        super().__init__(DurableCheckpointIO())


def checkpoint_size(checkpoint: Any) -> int:
    """Size of the tensors of a checkpoint in bytes; nearly the size of its file."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in _tensors(checkpoint)
    }
    return sum(storages.values())


def warn_of_little_space(folder: Path, module: nn.Module, averaged: bool) -> None:
    """Warn if the disk has no room for two checkpoints, as the old one is kept until the new one is complete.

    A checkpoint is taken to hold the weights, two values of an optimizer such as Adam for each trained one, and, if
    `averaged`, the average.
    """
    weights = sum(value.nbytes for value in module.state_dict().values())
    trained = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    needed = weights * (2 if averaged else 1) + 2 * trained
    free = shutil.disk_usage(next(place for place in (folder, *folder.resolve().parents) if place.is_dir())).free
    if free < 2 * needed:
        rank_zero_warn(
            f"{in_bytes(free)} are free for {folder}, and a checkpoint takes about {in_bytes(needed)}; two need to "
            "fit, as the old one is kept until the new one is complete. Free some space, or set --runs to another disk"
        )


def in_bytes(number: int) -> str:
    """A size for people: `24.1 MB (24,102,912 bytes)`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit} ({number:,} bytes)"
    return f"{number} bytes"


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors(inner)


def _save(checkpoint: dict[str, Any], path: Path) -> None:
    """`torch.save` whose error is that of the file system."""
    try:
        with open(path, "wb") as handle:
            torch.save(checkpoint, handle)
    except RuntimeError as error:
        # torch's zip writer reports an error of the file only by a position in its own source.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _keep_former(path: Path) -> None:
    """Keep a checkpoint under the name `<stem>-1.ckpt`, without a moment in which neither name exists."""
    former, link = path.with_name(f"{path.stem}-1{path.suffix}"), path.with_name(f"{path.name}.{os.getpid()}.link.tmp")
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links: the new file takes the name right after this
        os.replace(path, former)
        return
    try:
        os.replace(link, former)
    finally:
        # Renaming one of two names of the same file to the other does nothing at all.
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)

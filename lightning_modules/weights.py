"""Where weights come from: a checkpoint of ours, a plain state dict, a file in `$WEIGHTS_DIR`."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Arguments by which smp, timm and torchvision ask a hub for weights.
HUB_ARGUMENTS = ("encoder_weights", "pretrained", "weights", "weights_backbone")


def without_hub(config: Any) -> Any:
    """A copy of a nested config in which no class asks a hub for weights; a checkpoint brings them all.

    smp would try the hub five times, which in a kernel without internet takes minutes and then fails.
    """
    if isinstance(config, dict):
        return {
            # Numbers of that name weigh something: classes of a loss.
            key: (False if isinstance(value, bool) else None)
            if key in HUB_ARGUMENTS and isinstance(value, str | bool)
            else without_hub(value)
            for key, value in config.items()
        }
    return [without_hub(value) for value in config] if isinstance(config, list) else config


def find_weights(name: str) -> Path:
    """The file of this name: as given, a run folder's best checkpoint, or in `$WEIGHTS_DIR`.

    Raises:
        FileNotFoundError: lists the places that were tried.
    """
    places = [Path(name), Path(name) / "checkpoints" / "best.ckpt", Path(name) / "checkpoints" / "last.ckpt"]
    if "WEIGHTS_DIR" in os.environ:
        places.append(Path(os.environ["WEIGHTS_DIR"]) / name)
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"no weights file {name!r}; looked for {tried}. Set WEIGHTS_DIR to a folder of weights")


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint file as plain tensors and values; never runs code from the file.

    Raises:
        ValueError: damaged file, or one that holds more than tensors and plain values.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {"state_dict": load_file(path)}
        # Mapped: who asks for one value does not wait for all weights.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _damaged(path, (str(error) or repr(error)).splitlines()[0]) from error
    return content if "state_dict" in content else {"state_dict": content}


def check_whole(path: Path) -> None:
    """Raise when a checkpoint is no whole file; without reading its tensors.

    Raises:
        ValueError: truncated, empty or something else.
    """
    if path.suffix == ".ckpt" and not zipfile.is_zipfile(path):
        raise _damaged(path, "its end is missing")


def _damaged(path: Path, cause: str) -> ValueError:
    others = [other.name for other in sorted(path.parent.glob("*.ckpt")) if other != path]
    advice = f"try {', '.join(others)} beside it" if others else "train again, or copy the file again"
    return ValueError(
        f"checkpoint {path} is damaged or not a checkpoint ({path.stat().st_size} bytes): {cause}; {advice}"
    )


def load_weights(module: nn.Module, name: str) -> None:
    """Load weights only into a LightningModule: a checkpoint of ours, or a plain state dict of its network.

    Raises:
        ValueError: lists the keys that are missing, unknown or of another shape.
    """
    path = find_weights(name)
    state = read_checkpoint(path)["state_dict"]
    own = any(key.startswith("network.") for key in state)
    target = module if own else module.network
    expected = target.state_dict()
    if own:  # what a stage has beside its network (the loss's parameters, a discriminator) the next may lack
        state, expected = ({key: value for key, value in s.items() if _of_network(key)} for s in (state, expected))
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unknown {key}" for key in state if key not in expected]
    wrong += [
        f"{key}: file {tuple(value.shape)}, network {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if wrong:
        shown = "\n  ".join(wrong[:20])
        raise ValueError(f"weights {path} do not fit the network in {len(wrong)} places:\n  {shown}")
    target.load_state_dict(state, strict=False)


def _of_network(key: str) -> bool:
    """Whether a key of a LightningModule's state belongs to its network or its normalisation."""
    return key.startswith("network.") or "." not in key

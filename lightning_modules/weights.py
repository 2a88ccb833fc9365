"""Weights from a checkpoint of this project, a plain state dict or a file in `$WEIGHTS_DIR`."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightning_modules.rates import encoders

# Arguments of smp, timm and torchvision for weights from a hub.
HUB_ARGUMENTS = ("encoder_weights", "pretrained", "weights", "weights_backbone")


def prepare_networks(config: dict[str, Any], pretrained: bool) -> dict[str, Any]:
    """A copy of a model's config whose networks never ask a library for weights.

    Args:
        config: `class_path` and `init_args` of a LightningModule.
        pretrained: whether networks get their pretrained weights, from a local file or, if missing, from a hub; if
            not, they get random ones, for networks loaded from a checkpoint.
    """
    if not asks_for_weights(config):
        return config
    from networks.pretrained import resolve_pretrained  # imports timm, which takes 1 s and would slow down --help

    config = resolve_pretrained(config, random=not pretrained)
    return config if pretrained else without_hub(config)


def without_hub(config: Any) -> Any:
    """A copy of a nested config without weights from hubs."""
    if isinstance(config, dict):
        if "random" in (config.get("init_args") or {}):  # a torchvision network, built by `networks.pretrained`
            return config
        return {
            # Numbers are not weights of a network, but for example class weights of a loss.
            key: (False if isinstance(value, bool) else None)
            if key in HUB_ARGUMENTS and isinstance(value, str | bool)
            else without_hub(value)
            for key, value in config.items()
        }
    return [without_hub(value) for value in config] if isinstance(config, list) else config


def asks_for_weights(config: Any) -> bool:
    """Whether a nested config has an argument for weights from a hub that is set."""
    if isinstance(config, dict):
        set_here = any(config.get(key) not in (None, False) for key in HUB_ARGUMENTS)
        return set_here or any(map(asks_for_weights, config.values()))
    return isinstance(config, list) and any(map(asks_for_weights, config))


def find_weights(name: str) -> Path:
    """The weights file of a name: a path, a run folder (its best checkpoint), or a file in `$WEIGHTS_DIR`.

    Raises:
        FileNotFoundError: there is no such file; the message lists the paths that were tried.
    """
    places = [Path(name), Path(name) / "checkpoints" / "best.ckpt", Path(name) / "checkpoints" / "last.ckpt"]
    if "WEIGHTS_DIR" in os.environ:
        places.append(Path(os.environ["WEIGHTS_DIR"]) / name)
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"no weights file {name!r}; searched {tried}. Set WEIGHTS_DIR to a folder of weights")


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint file as plain tensors and values; never runs code from the file.

    Raises:
        ValueError: the file is damaged, or contains other objects than tensors and plain values.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {"state_dict": load_file(path)}
        # Memory-mapped: reading one value does not load all weights.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _damaged(path, (str(error) or repr(error)).splitlines()[0]) from error
    return content if "state_dict" in content else {"state_dict": content}


def check_whole(path: Path) -> None:
    """Check that a checkpoint is complete, without reading its tensors.

    Raises:
        ValueError: the file is truncated, empty or not a checkpoint.
    """
    if path.suffix == ".ckpt" and not zipfile.is_zipfile(path):
        raise _damaged(path, "its end is missing")


def newest_readable(paths: Sequence[Path]) -> Path:
    """The first checkpoint that can be read; says which was used if it is not the first.

    Raises:
        ValueError: none can be read; the error of the first.
    """
    refused: list[ValueError] = []
    for path in paths:
        try:
            content = read_checkpoint(path)
        except ValueError as error:
            refused.append(error)
            continue
        if refused:
            print(f"note: {refused[0]}\nresuming from {path}, step {content.get('global_step')}")
        return path
    raise refused[0]


def _damaged(path: Path, cause: str) -> ValueError:
    others = [other.name for other in sorted(path.parent.glob("*.ckpt")) if other != path]
    advice = f"try {', '.join(others)} beside it" if others else "train again, or copy the file again"
    return ValueError(
        f"checkpoint {path} is damaged or not a checkpoint ({path.stat().st_size} bytes): {cause}; {advice}"
    )


def load_weights(module: nn.Module, name: str) -> None:
    """Load only weights into a LightningModule: from a checkpoint of this project, or a state dict of the network.

    Raises:
        ValueError: weights are missing, unknown or of another shape; the message lists them.
    """
    path = find_weights(name)
    state = read_checkpoint(path)["state_dict"]
    own = any(key.startswith("network.") for key in state)
    target = module if own else module.network
    expected = target.state_dict()
    if own:  # other parts of a stage (parameters of the loss, a discriminator) may be missing in the next
        state, expected = ({key: value for key, value in s.items() if _of_network(key)} for s in (state, expected))
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unknown {key}" for key in state if key not in expected]
    wrong += [
        f"{key}: file {tuple(value.shape)}, network {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if wrong:
        if not own and fits_encoder(module.get_submodule("network"), path):
            raise ValueError(
                f"model.init_from: {path} contains the weights of an encoder, not of the whole network; set "
                "model.encoder_init_from to it"
            )
        shown = "\n  ".join(wrong[:20])
        raise ValueError(f"{path}: {len(wrong)} weights do not fit the network:\n  {shown}")
    target.load_state_dict(state, strict=False)


def _of_network(key: str) -> bool:
    """Whether a key of a LightningModule's state dict belongs to its network or its normalisation."""
    return key.startswith("network.") or "." not in key


def load_encoder_file(network: nn.Module, name: str) -> None:
    """Load a file of pretrained weights into the encoder of a network.

    Args:
        network: network whose modules named `encoder` or `backbone` get the weights; without one, the whole network.
        name: path of the file, or its name in `$WEIGHTS_DIR`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the weights do not fit; the message lists the differences.
    """
    from networks.encoder_weights import load_encoder  # imports timm, which takes 1 s and would slow down --help

    path = find_weights(name)
    for encoder in parts_with_weights(network):
        load_encoder(encoder, path)


def fits_encoder(network: nn.Module, path: Path) -> bool:
    """Whether a file has the weights of the encoder of a network."""
    from networks.encoder_weights import fit_encoder

    try:
        return bool(encoders(network)) and all(fit_encoder(one, path) for one in parts_with_weights(network))
    except ValueError:
        return False


def parts_with_weights(network: nn.Module) -> list[nn.Module]:
    """Encoders of a network; of a torchvision backbone, the part below its feature pyramid."""
    return [getattr(encoder, "body", encoder) for encoder in encoders(network)] or [network]

"""Networks of smp, timm and torchvision with pretrained weights from a local file or, if missing, from a hub.

A config names these networks by their own class_path. `resolve_pretrained` changes it before anything is built: the
libraries build them without weights, and the functions here load these.
"""

from importlib import import_module
from inspect import signature
from typing import Any, Literal

import segmentation_models_pytorch as smp
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model_builder

from compat.torchvision import weights_read_by
from networks.encoder_weights import LoadedWeights, full_name, load_encoder, timm_part
from networks.weight_files import find_weights_file, read_state
from networks.weight_keys import fit_state, misfit_text
from networks.weight_sources import (
    statistics_of_smp,
    statistics_of_torchvision,
    wanted_of_smp,
    wanted_of_timm,
    wanted_of_torchvision,
)

HERE = __name__
OWN_FILES = ("pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path")  # arguments of timm that name weights


def resolve_pretrained(config: Any, random: bool = False) -> Any:
    """A copy of a nested config whose networks of libraries get their pretrained weights from here.

    Args:
        config: mappings with `class_path` and `init_args`, at any depth.
        random: whether torchvision's networks get random weights, for those loaded from a checkpoint: their layers
            depend on whether pretrained weights are set.
    """
    if isinstance(config, list):
        return [resolve_pretrained(value, random) for value in config]
    if not isinstance(config, dict):
        return config
    node = {key: resolve_pretrained(value, random) for key, value in config.items()}
    arguments, library = node.get("init_args"), library_of(node.get("class_path"))
    if library is None or not isinstance(arguments, dict):
        return node
    if library == "torchvision":
        if arguments.get("weights") is None and arguments.get("weights_backbone") is None:
            return node
        given = {"builder": node["class_path"], "arguments": arguments | (node.get("dict_kwargs") or {})}
        return {"class_path": f"{HERE}.from_torchvision", "init_args": given | {"random": random}}
    if random:
        return node
    if library == "smp" and arguments.get("encoder_weights"):
        weights = {"encoder": arguments["encoder_name"], "weights": str(arguments["encoder_weights"])}
        off: dict[str, Any] = {"encoder_weights": None}
    elif library == "timm" and arguments.get("pretrained") and not any(arguments.get(key) for key in OWN_FILES):
        weights = {"encoder": arguments.get("model_name") or node["class_path"].rpartition(".")[2], "weights": "True"}
        off = {"pretrained": False}
    else:
        return node
    inner = node | {"init_args": arguments | off}
    given = {"network": inner, "library": library} | weights
    return {"class_path": f"{HERE}.with_pretrained", "init_args": given}


def library_of(class_path: Any) -> Literal["smp", "timm", "torchvision"] | None:
    """The library of a network that may have pretrained weights."""
    if not isinstance(class_path, str) or "." not in class_path:
        return None
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError):  # told by the parser
        return None
    if isinstance(kind, type) and issubclass(kind, smp.base.SegmentationModel):
        return "smp"
    if isinstance(kind, type):
        return None
    home = getattr(kind, "__module__", "")
    return "timm" if home.startswith("timm.") else "torchvision" if home.startswith("torchvision.models.") else None


def with_pretrained(network: nn.Module, library: Literal["smp", "timm"], encoder: str, weights: str) -> nn.Module:
    """Load pretrained weights into the encoder of a network of smp, or into one of timm.

    Args:
        network: network with random weights, changed in place.
        library: its library.
        encoder: name of the encoder in the library.
        weights: name of smp's weights, such as `imagenet`.
    """
    if library == "smp":
        load_smp_encoder(network.get_submodule("encoder"), encoder, weights)
    else:
        load_encoder(network, find_weights_file(wanted_of_timm(encoder)), encoder)
    return network


def load_smp_encoder(encoder: nn.Module, name: str, weights: str | bool) -> None:
    """Load pretrained weights into an encoder of smp, its own or timm's (`tu-…`).

    Raises:
        OSError: there are none; the message lists the places.
        ValueError: smp has no such weights, or the file does not fit.
    """
    part = timm_part(encoder)
    if part is not None:
        bare = name.removeprefix("tu-") if name.startswith("tu-") else full_name(part)
        load_encoder(encoder, find_weights_file(wanted_of_timm(bare, "encoder_weights: null")), bare)
        return
    weights = "imagenet" if weights in (True, "True") else str(weights)
    path = find_weights_file(wanted_of_smp(name, weights))
    load_encoder(encoder, path, name, statistics=statistics_of_smp(name, weights))


def from_torchvision(builder: str, arguments: dict[str, Any], random: bool = False) -> nn.Module:
    """A network of torchvision that reads its pretrained weights from a local file or, if missing, downloads them.

    Args:
        builder: path of the function that builds it.
        arguments: arguments of the function.
        random: whether to give it random weights.
    """
    module, _, name = builder.rpartition(".")
    function, found = getattr(import_module(module), name), []
    backbone = arguments.get("weights") is None and arguments.get("weights_backbone") is not None
    off = "weights_backbone: null" if backbone else "weights: null"

    def state_of(weights: WeightsEnum) -> dict[str, Tensor]:
        plain = plain_network(weights)
        expected = plain[1].state_dict()
        if random:
            return expected
        path = find_weights_file(wanted_of_torchvision(weights, plain[0], off))
        fitted, wrong = fit_state(read_state(path), expected)
        if wrong:
            raise ValueError(misfit_text(str(path), wrong))
        found.append(LoadedWeights.of(plain[0], path, fitted, statistics_of_torchvision(weights)))
        return fitted.values

    with weights_read_by(state_of):
        network = function(**arguments)
    if found:
        network.loaded_weights = found[0]
    return network


def plain_network(weights: WeightsEnum) -> tuple[str, nn.Module]:
    """Name of the torchvision model with these weights, and the model with random ones."""
    for name in torchvision.models.list_models():
        if torchvision.models.get_model_weights(name) is type(weights):
            break
    else:
        raise ValueError(f"torchvision has no model with the weights {weights!r}")
    composed = "weights_backbone" in signature(get_model_builder(name)).parameters
    settings: dict[str, Any] = {"weights_backbone": None} if composed else {}
    if weights.meta.get("categories"):
        settings["num_classes"] = len(weights.meta["categories"])
    return name, torchvision.models.get_model(name, weights=None, **settings)

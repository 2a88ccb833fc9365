"""timm encoders with weights from a local file or, if missing, from timm's hub."""

import os
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from networks.first_layer import repack_state

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")
IN_FOLDER = ("model.safetensors", "pytorch_model.bin")  # file names of a hub
# Names in Cadene's collection and smp -> timm's names of the networks with the same weights.
RENAMED = {
    "xception": "legacy_xception",
    "senet154": "legacy_senet154",
    "se_resnet50": "legacy_seresnet50",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d",
    "inceptionresnetv2": "inception_resnet_v2",
    "inceptionv4": "inception_v4",
}


def timm_name(name: str) -> str:
    """timm's name of an encoder; old names are translated with a warning.

    Raises:
        ValueError: timm has no such model; the message suggests the nearest ones.
    """
    if name == "bninception":
        raise ValueError("timm has no model 'bninception'; use network.class_path: networks.BnInception")
    if name in RENAMED:
        text = f"encoder {name!r} is replaced by timm's {RENAMED[name]!r}"
        if name == "senet154":
            text += ", which has the ImageNet weights of 2018; timm's other one is 'senet154.gluon_in1k'"
        warnings.warn(text, stacklevel=3)
        return RENAMED[name]
    if name.split(".")[0] not in timm.list_models():
        near = timm.list_models(f"*{name.split('.')[0]}*")[:5]
        raise ValueError(f"timm has no model {name!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    return name


def make_encoder(
    name: str,
    pretrained: bool = False,
    in_channels: int = 3,
    channel_copies: list[int] | None = None,
    **settings: Any,
) -> nn.Module:
    """A timm network without its classifier.

    Args:
        name: timm's name, or an old one of `RENAMED`.
        pretrained: whether to load weights from `$WEIGHTS_DIR/<name>.safetensors` (`.pth`, `.pt`, `.bin`, or a folder
            `<name>` with `model.safetensors`) or, if missing, from timm's hub or cache. A classifier in it is ignored.
        in_channels: number of channels of the image; pretrained first layers are adapted (`first_layer`).
        channel_copies: index of the pretrained channel (0 red, 1 green, 2 blue) whose weights each channel copies.
        settings: further arguments of `timm.create_model`; None values are dropped.

    Raises:
        ValueError: there is no such model, it does not accept a setting, or the file does not fit it.
        OSError: there is no file, and the hub cannot be reached.
    """
    name = timm_name(name)
    settings = {key: value for key, value in settings.items() if value is not None}
    if channel_copies is not None and len(channel_copies) != in_channels:
        raise ValueError(
            f"channel_copies is {channel_copies}, expected {in_channels} indices, one per channel of the image"
        )
    network = create(name, in_chans=in_channels, **settings)
    if pretrained:
        expected = network.state_dict()
        state = repack_state(pretrained_state(name, settings), expected, in_channels, channel_copies)
        wrong = misfits(state, expected)
        if wrong:
            raise ValueError(misfit_text(f"the weights of {name}", wrong))
        network.load_state_dict(state)
    return network


def create(name: str, **settings: Any) -> nn.Module:
    """`timm.create_model` without a classifier, unless `features_only`; the error names a wrong setting."""
    if not settings.get("features_only"):
        settings = {"num_classes": 0} | settings
    try:
        return timm.create_model(name, **settings)
    except TypeError as error:
        given = sorted(set(settings) - {"num_classes", "in_chans", "pretrained"})
        raise ValueError(f"encoder {name} does not accept one of {given}: {error}; remove it") from error


def pretrained_state(name: str, settings: dict[str, Any]) -> dict[str, Tensor]:
    """Weights for three channels, named as in the network built with `settings`."""
    path = find_file(name)
    if path is None:
        try:
            return create(name, pretrained=True, **settings).state_dict()
        except ValueError:
            raise
        except Exception as error:  # each hub client raises its own errors
            raise OSError(
                f"no weights of {name}: {', '.join(map(str, places(name))) or '$WEIGHTS_DIR (not set)'} "
                f"hold none, and timm's hub failed ({(str(error) or repr(error)).splitlines()[0]}). Put the file "
                "there, or set pretrained: false"
            ) from error
    whole = {key: value for key, value in settings.items() if key not in ("features_only", "out_indices")}
    state = fitted_file(name, path, whole)
    if not settings.get("features_only"):
        return state
    return create(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **settings).state_dict()


def fitted_file(name: str, path: Path, settings: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of a file without the classifier, named as in the current timm.

    Raises:
        ValueError: the weights do not fit; the message lists the differences.
    """
    network = create(name, **settings)
    expected, state = network.state_dict(), read_state(path)
    classifier = network.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([classifier] if isinstance(classifier, str) else classifier))
    bare = {key: value for key, value in state.items() if not key.startswith(heads) or key in expected}
    # Files from before torch 1.0 lack the counts of batches; only a momentum of None uses them.
    counts = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    bare = counts | bare
    wrong = misfits(bare, expected)
    if not wrong:
        return bare
    try:  # an original file, whose names timm translates; with its classifier, so that this is checked too
        made = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **settings)
    except Exception:
        raise ValueError(misfit_text(str(path), wrong)) from None
    translated = {key: value for key, value in made.state_dict().items() if key in expected}
    if misfits(translated, expected):
        raise ValueError(misfit_text(str(path), wrong))
    return translated


def misfits(state: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """Missing and unknown weights, and those of another shape, one line each."""
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unknown {key}" for key in state if key not in expected]
    wrong += [
        f"{key}: file {tuple(value.shape)}, network {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    ]
    return wrong


def misfit_text(what: str, wrong: list[str]) -> str:
    shown = "\n  ".join(wrong[:20])
    return f"{what}: {len(wrong)} weights do not fit the encoder:\n  {shown}"


def places(name: str) -> list[Path]:
    """Paths where weights are searched for; none without `$WEIGHTS_DIR`."""
    if "WEIGHTS_DIR" not in os.environ:
        return []
    folder = Path(os.environ["WEIGHTS_DIR"])
    names = dict.fromkeys([name, name.split(".")[0]])
    files = [folder / f"{each}{ending}" for each in names for ending in ENDINGS]
    return files + [folder / each / file for each in names for file in IN_FOLDER]


def find_file(name: str) -> Path | None:
    """The first of `places` that exists."""
    return next((place for place in places(name) if place.is_file()), None)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name; never runs code from the file.

    Raises:
        ValueError: the file is damaged or not a state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        content = content.get("state_dict", content)
        return {key.removeprefix("module."): value for key, value in content.items()}
    except Exception as error:
        cause = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(
            f"weights {path} are damaged or not a state dict ({path.stat().st_size} bytes): {cause}; copy the "
            "file again"
        ) from error

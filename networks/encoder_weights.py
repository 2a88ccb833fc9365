"""Pretrained weights of encoders, from a local file or, if missing, from a hub; timm encoders built with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn

from networks.weight_files import find_weights_file, read_state
from networks.weight_keys import COUNT, HEADS, FittedState, fit_state, misfit_text, misfits
from networks.weight_sources import (
    IMAGENET,
    Statistics,
    statistics_beside,
    statistics_of_timm,
    timm_name,
    wanted_of_timm,
)


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded into an encoder; its attribute `loaded_weights`.

    Args:
        encoder: name of the encoder.
        path: file of the weights.
        matched: number of tensors from the file.
        total: number of tensors of the encoder.
        unused: modules of the file that the encoder lacks.
        random: modules of the encoder that the file lacks.
        statistics: mean and std of each channel that the weights expect; None for detectors, which keep theirs.
    """

    encoder: str
    path: Path
    matched: int
    total: int
    unused: list[str]
    random: list[str]
    statistics: Statistics | None

    @classmethod
    def of(cls, encoder: str, path: Path, fitted: FittedState, statistics: Statistics | None) -> Self:
        """Of weights that were fitted to an encoder."""
        return cls(encoder, path, fitted.matched, fitted.total, fitted.unused, fitted.random, statistics)

    def text(self) -> str:
        """One line for the start of a training."""
        number = f"all {self.total}" if self.matched == self.total else f"{self.matched} of {self.total}"
        unused = f"; not used: {', '.join(self.unused[:8])}" if self.unused else ""
        random = f"; random: {', '.join(self.random)}" if self.random else ""
        return f"{self.encoder}: {number} tensors from {self.path}{unused}{random}"


def load_encoder(
    encoder: nn.Module,
    path: Path,
    name: str | None = None,
    copies: list[int] | None = None,
    settings: dict[str, Any] | None = None,
    statistics: Statistics | None = IMAGENET,
) -> None:
    """Load a file of weights into an encoder of any library, and note it in its `loaded_weights`.

    Names of the weights are those of timm, torchvision, smp or this project. Layers that see the image are adapted to
    its number of channels (`first_layer`).

    Args:
        encoder: encoder, changed in place.
        path: file of the weights.
        name: name of the encoder for messages (default: that of timm, else of its class).
        copies: as in `first_layer.spread`.
        settings: arguments of `timm.create_model` for the encoder; by default, found in the encoder.
        statistics: mean and std that the weights expect, unless the file, its `config.json`, timm or an attribute
            `weight_statistics` of the encoder knows better.

    Raises:
        ValueError: the weights do not fit; the message lists the differences.
    """
    part, statistics = timm_part(encoder), getattr(encoder, "weight_statistics", statistics)
    if part is not None:
        name = name or full_name(part)
        statistics = statistics_of_timm(name)
    fitted = fit_encoder(encoder, path, name, copies, settings)
    encoder.load_state_dict(fitted.values)
    if statistics is not None:
        statistics = statistics_beside(path) or statistics_of_stem(path) or statistics
    noted: Any = encoder
    noted.loaded_weights = LoadedWeights.of(name or type(encoder).__name__, path, fitted, statistics)


def fit_encoder(
    encoder: nn.Module,
    path: Path,
    name: str | None = None,
    copies: list[int] | None = None,
    settings: dict[str, Any] | None = None,
) -> FittedState:
    """The weights of a file under the names of an encoder; arguments and errors are those of `load_encoder`."""
    part, state, expected = timm_part(encoder), read_state(path), encoder.state_dict()
    heads = HEADS if part is None else classifiers(part)
    fitted, wrong = fit_state(state, expected, copies, heads)
    if wrong and part is not None:  # the file of a whole model for the first stages, or one whose names timm translates
        settings = settings_of(part) if settings is None else settings
        state = whole_state(name or full_name(part), path, settings)
        fitted, wrong = fit_state(state, expected, copies, heads, checked=True)
    if wrong:
        raise ValueError(misfit_text(str(path), wrong))
    return fitted


def timm_part(encoder: nn.Module) -> nn.Module | None:
    """The timm model that an encoder is or holds (smp's `tu-…`); None for encoders of other libraries."""
    parts: tuple[Any, Any] = (encoder, getattr(encoder, "model", None))
    return next((part for part in parts if config_of(part).get("architecture")), None)


def config_of(part: Any) -> dict[str, Any]:
    """What timm knows of the pretrained weights of a model; empty for those of other libraries."""
    found = getattr(part, "pretrained_cfg", None)
    return found if isinstance(found, dict) else {}


def full_name(part: nn.Module) -> str:
    """timm's name of a model, with the tag of its weights."""
    config = config_of(part)
    return ".".join(filter(None, (config["architecture"], config.get("tag"))))


def settings_of(part: nn.Module) -> dict[str, Any]:
    """The image size for which a transformer was built, if it is not that of its weights."""
    inner: list[Any] = list(part.modules())
    built = next((one.img_size for one in inner if hasattr(one, "img_size") and hasattr(one, "patch_size")), None)
    usual = tuple(config_of(part).get("input_size") or ())[1:]
    return {} if built is None or tuple(built) == usual else {"img_size": tuple(built)}


def statistics_of_stem(path: Path) -> Statistics | None:
    """Mean and std of the weights that a file is named after, `vit_base_patch16_224.orig_in21k.safetensors`."""
    bare, _, tag = path.stem.removeprefix("tu-").partition(".")
    known = tag and timm.is_model(bare) and f"{bare}.{tag}" in timm.list_pretrained(f"{bare}.*")
    return statistics_of_timm(f"{bare}.{tag}") if known else None


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
        pretrained: whether to load pretrained weights: from `$WEIGHTS_DIR/<name>.safetensors` (`.pth`, `.pt`, `.bin`,
            or a folder `<name>` with `model.safetensors`), a mounted folder, a cache or timm's hub. A classifier in
            them is ignored.
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
        whole = {key: value for key, value in settings.items() if key not in ("features_only", "out_indices")}
        load_encoder(network, find_weights_file(wanted_of_timm(name)), name, channel_copies, whole)
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


def whole_state(name: str, path: Path, settings: dict[str, Any]) -> dict[str, Tensor]:
    """All weights of a file of a timm model, for three channels, named as in the current timm.

    Raises:
        ValueError: the weights do not fit; the message lists the differences.
    """
    network = outline(name, settings)
    expected, state = network.state_dict(), read_state(path)
    heads = tuple(f"{head}." for head in classifiers(network))
    bare = {key: value for key, value in state.items() if not key.startswith(heads) or key in expected}
    counts = {key: value for key, value in expected.items() if key.endswith(COUNT) and key not in bare}
    wrong = misfits(counts | bare, expected)
    if not wrong:
        return state
    # An original file, whose names timm translates, or one for another image size, for which it resamples positions.
    # It is loaded with its classifier, as timm checks nothing otherwise.
    classes = {len(state[f"{head}weight"]) for head in heads if f"{head}weight" in state}
    number = {"num_classes": classes.pop()} if len(classes) == 1 else {}
    settings = settings | number
    try:
        source = {"file": str(path)} | number
        made = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=source, **settings)
    except Exception:
        raise ValueError(misfit_text(str(path), wrong)) from None
    translated = made.state_dict()
    if misfits({key: value for key, value in translated.items() if key in expected}, expected):
        raise ValueError(misfit_text(str(path), wrong))
    return translated


def outline(name: str, settings: dict[str, Any]) -> nn.Module:
    """A timm model without a classifier, for the names and shapes of its weights."""
    try:
        with torch.device("meta"):
            return create(name, **settings)
    except (NotImplementedError, RuntimeError):  # models that compute with values when they are built
        return create(name, **settings)


def classifiers(network: nn.Module) -> tuple[str, ...]:
    """Names of the classifiers of a timm model."""
    named = config_of(network).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)

"""Names and hubs of the pretrained weights of smp, timm and torchvision, and the normalisation that they expect."""

import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import segmentation_models_pytorch as smp
import timm
import torchvision

from networks.weight_files import IN_FOLDER, Wanted

OTHER_LAYERS = ("skres", "mobileone")  # encoders of smp that differ from those of the same name in timm
Statistics = tuple[list[float], list[float]]  # mean and std of each channel of images in [0, 1]
IMAGENET: Statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
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


def wanted_of_timm(name: str, off: str = "pretrained: false") -> Wanted:
    """Weights of a timm model, `resnet34` or `resnet34.a1_in1k`."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    bare = name.split(".")[0]
    tagged = f"{bare}.{config.tag}" if config is not None and config.tag else name
    stems = tuple(dict.fromkeys([name, f"tu-{name}", tagged, bare, f"tu-{bare}"]))
    if config is None:
        return Wanted(name, stems, off=off)
    files = (config.hf_hub_filename,) if config.hf_hub_filename else IN_FOLDER
    url = config.url if isinstance(config.url, str) and not config.url.endswith(".npz") else None  # of other layers
    return Wanted(name, (*stems, *stem_of(url)), config.hf_hub_id, None, files, url, off)


def wanted_of_smp(name: str, weights: str) -> Wanted:
    """Weights of one of smp's own encoders.

    Raises:
        ValueError: smp has no such weights; the message lists those it has.
    """
    known = smp.encoders.encoders[name]["pretrained_settings"]
    if weights not in known:
        raise ValueError(f"encoder_weights is {weights!r}, but smp has {', '.join(known)} for {name!r}")
    settings = known[weights]
    plain = weights == "imagenet"
    builder = name if plain and name in torchvision.models.list_models(module=torchvision.models) else None
    # smp's ImageNet weights of torchvision's networks are torchvision's first ones.
    url = torchvision.models.get_model_weights(builder)["IMAGENET1K_V1"].url if builder else None
    same = same_in_timm(name)
    others = () if same is None else (same,)
    tagged = [f"{other}.{config.tag}" for other in others if (config := timm.get_pretrained_cfg(other)) and config.tag]
    hub = settings["repo_id"].split("/")[-1]
    stems = dict.fromkeys([hub, f"{name}.{weights}", name, *stem_of(url), *others, *tagged])
    stems = dict.fromkeys([name, *stems]) if plain else stems
    return Wanted(
        name, tuple(stems), settings["repo_id"], settings["revision"], IN_FOLDER[:1], url, "encoder_weights: null"
    )


def wanted_of_torchvision(weights: "torchvision.models.WeightsEnum", builder: str, off: str) -> Wanted:
    """Weights of a torchvision model, such as `ResNet50_Weights.IMAGENET1K_V2` of `resnet50`."""
    stems = (*stem_of(weights.url), f"{builder}.{weights.name}", builder)
    return Wanted(builder, (builder, *stems[:-1]), url=weights.url, off=off)


def stem_of(url: str | None) -> tuple[str, ...]:
    """Name of the file behind an address, without its ending: `resnet34-b627a593`."""
    return () if url is None else (Path(urlsplit(url).path).stem,)


def same_in_timm(name: str) -> str | None:
    """timm's name of one of smp's own encoders with the same layers; None if it has none or names them otherwise."""
    bare = name.removeprefix("timm-")
    bare = bare.replace("efficientnet-", "tf_efficientnet_") if bare != name else bare
    bare = RENAMED.get(bare, bare)
    return bare if timm.is_model(bare) and not bare.startswith(OTHER_LAYERS) else None


def statistics_of_timm(name: str) -> Statistics:
    """Mean and std that the weights of a timm model expect."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return IMAGENET if config is None else (list(config.mean), list(config.std))


def statistics_of_smp(name: str, weights: str = "imagenet") -> Statistics:
    """Mean and std that the weights of one of smp's own encoders expect."""
    if weights == "advprop":
        return [0.5] * 3, [0.5] * 3
    # The default weights of these in timm are others.
    same = None if name.startswith("timm-efficientnet-") else same_in_timm(name)
    return IMAGENET if same is None else statistics_of_timm(same)


def statistics_of_torchvision(weights: "torchvision.models.WeightsEnum") -> Statistics | None:
    """Mean and std that weights of torchvision expect; None for detectors, which keep theirs in the network."""
    preset: Any = weights.transforms()
    return (list(preset.mean), list(preset.std)) if hasattr(preset, "mean") else None


def statistics_beside(path: Path) -> Statistics | None:
    """Mean and std in the `config.json` that hubs keep beside `model.safetensors`; None without one."""
    file = path.parent / "config.json"
    if path.name not in IN_FOLDER or not file.is_file():
        return None
    try:
        content = json.loads(file.read_text())
        content = content.get("pretrained_cfg", content)
        high = (content.get("input_range") or [0, 1])[-1]
        return [value / high for value in content["mean"]], [value / high for value in content["std"]]
    except (ValueError, KeyError, TypeError, AttributeError):  # of another kind
        return None

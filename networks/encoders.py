"""Encoders of segmentation_models_pytorch."""

import difflib

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from compat.smp import OWN_SIZE, what_would_work
from networks.first_layer import set_in_channels


def build_encoder(
    name: str, in_channels: int, weights: str | bool | None, depth: int = 5, output_stride: int = 32
) -> nn.Module:
    """An smp encoder: `(N, C, H, W)` -> features at 1, 1/2, … of the image, with their `out_channels`.

    It is tried on an image of 64 × 96, because the decoders here take any size.

    Args:
        name: of smp (`resnet34`), or of timm with `tu-` before it (`tu-convnext_tiny`). Transformers have no features
            at 1/2: they come with 0 channels.
        in_channels: channels of the image; pretrained first layers are repacked for them.
        weights: of smp's encoders a name (`imagenet`), of timm's True; None or False for random ones.
        depth: how often the image is halved.
        output_stride: 16 or 8 widen the last stages by dilation instead of halving the image.

    Raises:
        ValueError: no such encoder (names the nearest), or one that the decoder cannot take (says what would work).
    """
    check_name(name)
    try:
        # smp too repacks the first layer, but keeps its mean response for whole multiples of three channels alone.
        channels = 3 if weights else in_channels
        encoder = smp.encoders.get_encoder(
            name, in_channels=channels, depth=depth, weights=weights or None, output_stride=output_stride
        )
    except (ValueError, TypeError) as error:
        advice = what_would_work(error)
        if advice is None:
            raise
        raise ValueError(f"encoder_name {name!r} does not fit this network ({error}): {advice}") from error
    if channels != in_channels:
        set_in_channels(encoder, in_channels)
    training = encoder.training
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(1, in_channels, 64, 96))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"encoder_name {name!r} does not take an image of 64 × 96 ({error}): {OWN_SIZE}") from error
    return encoder.train(training)


def check_name(name: str) -> None:
    """Raise when neither smp nor timm (`tu-…`) has an encoder of this name.

    Raises:
        ValueError: names the nearest ones.
    """
    prefix = "tu-" if name.startswith("tu-") else ""
    bare = name.removeprefix("tu-").split(".")[0] if prefix else name
    known = timm.list_models() if prefix else smp.encoders.get_encoder_names()
    if bare in known or ":" in bare:  # `hf_hub:…` is looked up by timm
        return
    near = [prefix + other for other in difflib.get_close_matches(bare, known, n=3)]
    if not prefix and timm.is_model(bare):
        near = [f"tu-{bare}"]
    hint = f"did you mean {', '.join(near)}?" if near else "names of timm's encoders begin with tu-"
    raise ValueError(f"encoder_name is {name!r}, which is no encoder of {'timm' if prefix else 'smp'}; {hint}")

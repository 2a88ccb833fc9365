"""Encoders of segmentation_models_pytorch."""

import difflib

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from compat.smp import OWN_SIZE, what_would_work
from networks.pretrained import load_smp_encoder


def build_encoder(
    name: str, in_channels: int, weights: str | bool | None, depth: int = 5, output_stride: int = 32
) -> nn.Module:
    """An smp encoder: `(N, C, H, W)` -> features at 1, 1/2, … of the image, with `out_channels` channels.

    It is tested on an image of 64 × 96, because the decoders here support any size.

    Args:
        name: name in smp (`resnet34`), or in timm with the prefix `tu-` (`tu-convnext_tiny`). Transformers have no
            features at 1/2: these have 0 channels.
        in_channels: number of channels of the image; pretrained first layers are adapted.
        weights: name of smp's weights (`imagenet`), or True for timm's, from a local file or, if missing, from a hub
            (`weight_files`); None or False for random weights.
        depth: number of halvings of the image.
        output_stride: downsampling factor of the last features; 16 or 8 use dilation instead of halving.

    Raises:
        ValueError: there is no such encoder, or the decoder does not support it; the message suggests what works.
        OSError: no pretrained weights were found.
    """
    check_name(name)
    try:
        encoder = smp.encoders.get_encoder(
            name, in_channels=in_channels, depth=depth, weights=None, output_stride=output_stride
        )
    except (ValueError, TypeError) as error:
        advice = what_would_work(error)
        if advice is None:
            raise
        raise ValueError(f"encoder_name {name!r} does not fit this network ({error}): {advice}") from error
    training = encoder.training
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(1, in_channels, 64, 96))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"encoder_name {name!r} fails on an image of 64 × 96 ({error}): {OWN_SIZE}") from error
    if weights:
        load_smp_encoder(encoder, name, weights)
    return encoder.train(training)


def check_name(name: str) -> None:
    """Check that smp or timm (`tu-…`) has an encoder of this name.

    Raises:
        ValueError: there is no such encoder; the message suggests the nearest ones.
    """
    prefix = "tu-" if name.startswith("tu-") else ""
    bare = name.removeprefix("tu-").split(".")[0] if prefix else name
    known = timm.list_models() if prefix else smp.encoders.get_encoder_names()
    if bare in known or ":" in bare:  # timm resolves `hf_hub:…`
        return
    near = [prefix + other for other in difflib.get_close_matches(bare, known, n=3)]
    if not prefix and timm.is_model(bare):
        near = [f"tu-{bare}"]
    hint = f"did you mean {', '.join(near)}?" if near else "names of timm's encoders start with tu-"
    raise ValueError(f"encoder_name is {name!r}, which is not an encoder of {'timm' if prefix else 'smp'}; {hint}")

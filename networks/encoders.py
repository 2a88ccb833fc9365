"""Encoders of segmentation_models_pytorch, and what would work where a decoder cannot take one."""

import difflib
import re

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from networks.first_layer import set_in_channels

OWN_SIZE = (
    "this encoder takes images of its own size alone; take one of any size (tu-convnext_…, tu-pvt_v2_…, tu-caformer_…, "
    "tu-nextvit_…, mit_b…), or a network of smp: with dict_kwargs: {img_size: 256} it is built for that size, to which "
    "data.augmentation and model.inference.tile or size bring the images (of maxvit the name says the size)"
)
# What smp and timm say, and what they leave unsaid: what would work instead.
ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"do(es)? not support dilated mode|unexpected keyword argument 'output_stride'",
        "the decoder widens the encoder's last stages by dilation (DeepLabV3, DeepLabV3Plus, PAN with output stride "
        "16 or 8); resnet…, se_resnext…, efficientnet-b…, tu-convnext_… allow it. With this encoder take Unet, FPN, "
        "Linknet or MAnet, or PAN with encoder_output_stride 32",
    ),
    (
        r"Unsupported model downsampling pattern",
        "the decoder wants features at 1/4, 1/8, 1/16 and 1/32 of the image (and perhaps at 1/2); for a plain ViT "
        "(vit, deit, dinov3) take segmentation_models_pytorch.DPT with dict_kwargs: {dynamic_img_size: true}",
    ),
    (
        r"doesn't match model \(|must be divisible by window|multiple of the window",
        OWN_SIZE,
    ),
    (
        r"Wrong input shape height=",
        "set model.inference.stride to 32 (sides are then padded, and predictions cropped back) and crop the training "
        "images to multiples of 32, or take a decoder of any size: Unet, networks.ConcatLinknet",
    ),
    (
        r"Output size is too small",
        "PAN pools the last features three times: sides of 128 or more with encoder_output_stride 16, 256 with 32",
    ),
    (r"Only Timm encoders are supported for DPT", "for example tu-vit_base_patch16_224.augreg_in21k"),
    (r"`mit_b\d` is not supported|encoder_name=mit_b", "take mit_b… with Unet, FPN, PAN or DeepLabV3Plus"),
    (
        r"Expected more than 1 value per channel when training",
        "a batch of one image, and a batch norm over one pixel of it: data.batch_size 2 or more, "
        "or networks.to_group_norm around the network",
    ),
)


def what_would_work(error: BaseException) -> str | None:
    """Advice for an error by which smp or timm refuse an encoder or an image size.

    None for any other error, and for one that has its advice already.
    """
    text = str(error)
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text) and advice not in text), None)


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

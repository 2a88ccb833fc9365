"""Private parts of segmentation-models-pytorch 0.6, and its and timm's errors for unsupported encoders.

`pyproject.toml` keeps it below 0.7.
"""

import re
from typing import Any

from torch import nn

OWN_SIZE = (
    "this encoder takes images of its own size alone; take one of any size (tu-convnext_…, tu-pvt_v2_…, tu-caformer_…, "
    "tu-nextvit_…, mit_b…), or a network of smp: with dict_kwargs: {img_size: 256} it is built for that size, to which "
    "data.augmentation and model.inference.tile or size bring the images (of maxvit the name says the size)"
)
# Messages of smp and timm, and advice on what works instead.
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


def tell_encoders(network: nn.Module, before: int, channels: int) -> None:
    """Set the number of image channels of smp encoders in a network.

    Encoders return the image as their first feature map, so `out_channels` depends on these attributes.

    Args:
        network: network to change in place.
        before: previous number of image channels.
        channels: new number of image channels.
    """
    module: Any
    for module in network.modules():
        if hasattr(module, "_in_channels") and hasattr(module, "_out_channels"):
            module._in_channels = channels
            if module._out_channels[0] == before:
                module._out_channels = [channels, *list(module._out_channels)[1:]]


def what_would_work(error: BaseException) -> str | None:
    """Advice for an error of smp or timm about an encoder or image size.

    None for other errors, and for errors that already contain the advice.
    """
    text = str(error)
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text) and advice not in text), None)

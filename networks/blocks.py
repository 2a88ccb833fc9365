"""What the decoders of this folder share."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F


def conv_relu(
    in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1, norm: bool = False
) -> nn.Sequential:
    """Convolution, batch norm where asked for, ReLU; of odd kernels the size of `(N, C, H, W)` stays.

    Weights as He et al. 2015 (https://arxiv.org/abs/1502.01852): without norms, deep decoders need them.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=not norm)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, *([nn.BatchNorm2d(out_channels)] if norm else []), nn.ReLU(inplace=True))


def fit(features: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Crop `(N, C, H, W)` to this height and width, or repeat its last row and column.

    A side of 7 is halved to 4 (or 3) and doubled to 8 (or 6): one too many or too few for its skip connection.
    """
    height, width = size
    features = features[..., :height, :width]
    rows, columns = height - features.shape[-2], width - features.shape[-1]
    return F.pad(features, (0, columns, 0, rows), mode="replicate") if rows or columns else features


def unet_decoder(
    encoder_channels: Sequence[int], decoder_channels: Sequence[int], attention: str | None = None, norm: bool = True
) -> UnetDecoder:
    """smp's decoder of the U-Net, without the weights that it never uses.

    Its last block has no skip connection to weigh, but an attention for one; data-parallel training refuses that.

    Args:
        encoder_channels: of the features, from the image on.
        decoder_channels: of the blocks, from coarse to fine.
        attention: `scse` (https://arxiv.org/abs/1808.08127), or None.
        norm: batch norm in the blocks.

    Raises:
        ValueError: not one block for each halving of the image; fewer than 16 channels with `scse`.
    """
    if len(decoder_channels) != len(encoder_channels) - 1:
        raise ValueError(
            f"decoder_channels has {len(decoder_channels)} values, expected {len(encoder_channels) - 1}, one for each "
            "halving of the image"
        )
    if attention is not None and min(decoder_channels) < 16:
        raise ValueError(
            f"decoder_channels is {list(decoder_channels)}, but decoder_attention_type {attention!r} squeezes channels "
            "to a 16th: take 16 or more everywhere"
        )
    decoder = UnetDecoder(
        encoder_channels,
        decoder_channels,
        n_blocks=len(decoder_channels),
        use_norm="batchnorm" if norm else "identity",
        attention_type=attention,
    )
    decoder.blocks[-1].attention1 = nn.Identity()
    return decoder

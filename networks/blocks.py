"""Building blocks of the decoders in this folder."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F


def conv_relu(
    in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1, norm: bool = False
) -> nn.Sequential:
    """Convolution, batch norm if `norm`, ReLU; odd kernels keep the height and width.

    Weights are initialised as in He et al. 2015 (https://arxiv.org/abs/1502.01852), for deep decoders without norms.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=not norm)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, *([nn.BatchNorm2d(out_channels)] if norm else []), nn.ReLU(inplace=True))


def fit(features: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Crop `(N, C, H, W)` to this height and width, or repeat its last row and column.

    A side of 7 is halved to 4 (or 3) and doubled to 8 (or 6): one pixel off its skip connection.
    """
    height, width = size
    features = features[..., :height, :width]
    rows, columns = height - features.shape[-2], width - features.shape[-1]
    return F.pad(features, (0, columns, 0, rows), mode="replicate") if rows or columns else features


def unet_decoder(
    encoder_channels: Sequence[int], decoder_channels: Sequence[int], attention: str | None = None, norm: bool = True
) -> UnetDecoder:
    """smp's U-Net decoder without its unused weights.

    Its last block has no skip connection, but attention weights for one; distributed training rejects unused weights.

    Args:
        encoder_channels: channels of the encoder's features, starting with the image.
        decoder_channels: channels of the blocks, from coarse to fine.
        attention: `scse` (https://arxiv.org/abs/1808.08127), or None.
        norm: whether blocks have batch norm.

    Raises:
        ValueError: the number of blocks is not the number of halvings of the image, or a block has fewer than 16
            channels with `scse`.
    """
    if len(decoder_channels) != len(encoder_channels) - 1:
        raise ValueError(
            f"decoder_channels has {len(decoder_channels)} values, expected {len(encoder_channels) - 1}, one per "
            "halving of the image"
        )
    if attention is not None and min(decoder_channels) < 16:
        raise ValueError(
            f"decoder_channels is {list(decoder_channels)}, expected 16 or more each: decoder_attention_type "
            f"{attention!r} reduces channels to a 16th"
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

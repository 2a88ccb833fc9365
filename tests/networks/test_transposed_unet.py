"""M15: transposed convolutions, a last convolution of 2 × 2, no normalisation."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from networks import TransposedUnet
from networks.transposed_unet import TransposedUp, bilinear_


@pytest.mark.parametrize(("into", "out"), [(1, 1), (8, 3), (3, 8), (256, 128)])
def test_a_constant_stays_constant_inside_so_no_checkerboard_at_the_start(into, out):
    up = nn.ConvTranspose2d(into, out, 4, stride=2, padding=1)
    bilinear_(up.weight)
    nn.init.zeros_(up.bias)
    result = up(torch.full((1, into, 7, 9), 3.0))
    assert result.shape == (1, out, 14, 18)
    torch.testing.assert_close(result[..., 1:-1, 1:-1], torch.full((1, out, 12, 16), 3.0))


def test_it_begins_as_bilinear_upsampling():
    up = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
    bilinear_(up.weight)
    nn.init.zeros_(up.bias)
    features = torch.randn(1, 2, 6, 5)
    expected = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up(features)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("size", [(5, 7), (6, 8)])
def test_odd_sizes_are_doubled_and_cropped_to_the_skip(size):
    block = TransposedUp(4, 3, 2)
    features = torch.randn(1, 4, *size)
    assert block.up(features).shape[2:] == (2 * size[0], 2 * size[1])
    skip = torch.randn(1, 3, 2 * size[0] - 1, 2 * size[1])
    assert block(features, skip, skip.shape[2:]).shape == (1, 2, *skip.shape[2:])


def test_last_convolution_and_no_norm_in_the_decoder():
    network = TransposedUnet("resnet18", classes=4).eval()
    convs = [module for module in network.head.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.kernel_size for conv in convs] == [(2, 2)]
    assert sum(isinstance(module, nn.ConvTranspose2d) for module in network.modules()) == 5
    assert not any("Norm" in type(module).__name__ for module in network.decoder.modules())
    assert network(torch.zeros(1, 3, 65, 47)).shape == (1, 4, 65, 47)

"""M07: stacked dilated convolutions whose outputs are summed."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from networks import DilatedUnet
from networks.dilated_unet import DilatedStack

RATES = [1, 2, 4, 8, 16, 32]


def positive(stack: DilatedStack) -> DilatedStack:
    """All weights 1, no bias: an impulse reaches everything it can reach."""
    for module in stack.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    return stack.eval()


@pytest.mark.parametrize("rates", [RATES, [1], [1, 3, 9]])
def test_an_impulse_spreads_by_the_sum_of_the_rates_and_the_size_stays(rates):
    stack = positive(DilatedStack(1, 1, rates, norm=False)).double()
    side = 2 * sum(rates) + 21
    image = torch.zeros(1, 1, side, side + 6, dtype=torch.float64)
    image[0, 0, side // 2, side // 2 + 3] = 1
    with torch.no_grad():
        response = stack(image)
    assert response.shape == image.shape
    support = 1 + 2 * sum(rates)
    for axis in (0, 1):
        reached = response[0, 0].amax(dim=axis).nonzero().flatten()
        assert len(reached) == reached[-1] - reached[0] + 1 == support


def test_the_outputs_of_all_are_summed_not_the_last_alone():
    torch.manual_seed(0)
    stack = DilatedStack(3, 5, RATES, norm=False)
    features = torch.randn(2, 3, 40, 50)
    convs = [module for module in stack.modules() if isinstance(module, nn.Conv2d)]
    total, value = 0, features
    for conv, rate in zip(convs, RATES, strict=True):
        assert conv.weight.shape[2:] == (3, 3)
        value = F.relu(F.conv2d(value, conv.weight, conv.bias, padding=rate, dilation=rate))
        total = total + value
    torch.testing.assert_close(stack(features), total)


def test_the_winners_place_at_an_eighth_of_the_image():
    network = DilatedUnet("resnet18", encoder_depth=3, norm=False).eval()
    seen = []
    network.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)
    assert seen == [(1, 352, 8, 12)]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.decoder.modules())


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match=r"rates is \[\], expected one dilation"):
        DilatedUnet("resnet18", rates=[])
    with pytest.raises(ValueError, match="decoder_channels has 3 values, expected 5, one per halving"):
        DilatedUnet("resnet18", decoder_channels=[64, 32, 16])

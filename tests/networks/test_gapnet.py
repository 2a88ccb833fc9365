"""GAPNet: averages at four depths."""

import pytest
import torch
from timm.layers import SqueezeExcite
from torch import nn

from networks.gapnet import GapNet

SMALL = "tf_mobilenetv3_small_minimal_100"


def test_the_network_of_hpa():
    network = GapNet(28).eval()
    assert network.channels == [64, 64, 128, 256]
    assert network.num_features == 512
    layers = [module for module in network.head if not isinstance(module, nn.ReLU)]
    assert [type(layer).__name__ for layer in layers] == ["Dropout", "Linear"] * 3
    assert [(layer.in_features, layer.out_features) for layer in layers[1::2]] == [(512, 256), (256, 256), (256, 28)]
    assert {layer.p for layer in layers[::2]} == {0.3}
    assert not any(name.startswith("layer4") for name, _ in network.encoder.named_modules())
    assert sum(isinstance(module, SqueezeExcite) for module in network.modules()) == 4
    for size in [(64, 64), (100, 130)]:
        assert network(torch.randn(2, 3, *size)).shape == (2, 28)


def test_features_are_averages_of_the_excited_maps():
    network = GapNet(3).eval()
    image = torch.randn(2, 3, 64, 64)
    parts, values = [], image
    encoder = network.encoder
    with torch.no_grad():
        values = encoder.act1(encoder.bn1(encoder.conv1(values)))
        parts.append(values)
        values = encoder.layer1(encoder.maxpool(values))
        parts.append(values)
        parts.append(encoder.layer2(values))
        parts.append(encoder.layer3(parts[-1]))
        expected = torch.cat([excite(p).mean((2, 3)) for excite, p in zip(network.excite, parts, strict=True)], 1)
        torch.testing.assert_close(network.features(image), expected)


@pytest.mark.parametrize("tap", range(4))
def test_every_tap_matters(tap):
    network = GapNet(3).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(image)
        network.excite[tap].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
        assert not torch.allclose(network(image), before)


def test_other_encoders_taps_and_channels():
    for encoder, size in [(SMALL, 64), ("convnext_atto", 64), ("swin_tiny_patch4_window7_224", 224)]:
        network = GapNet(3, encoder, in_channels=4, taps=[1, 2], hidden=[]).eval()
        assert network(torch.randn(1, 4, size, size)).shape == (1, 3)
        assert network.num_features == sum(network.channels)


def test_bad_taps_are_refused():
    with pytest.raises(ValueError, match=r"taps is \[2, 1\], expected increasing indices of feature maps"):
        GapNet(3, taps=[2, 1])
    with pytest.raises(ValueError, match=r"resnet18 has no feature maps at the depths \[0, 7\]"):
        GapNet(3, taps=[0, 7])

"""M38: the U-Net of selim_sef."""

import torch
from torch import nn
from torch.nn import functional as F

from networks import SelimUnet


def test_shapes_of_the_decoder():
    network = SelimUnet("resnet50")
    stages = [(conv.in_channels, conv.out_channels) for conv in of(network.decoder_stages)]
    assert stages == [(128, 64), (256, 128), (256, 256), (2048, 256)]
    merges = [(conv.in_channels, conv.out_channels, conv.kernel_size) for conv in of(network.bottlenecks)]
    assert merges == [
        (64 + 64, 64, (3, 3)),
        (256 + 128, 128, (3, 3)),
        (512 + 256, 256, (3, 3)),
        (1024 + 256, 256, (3, 3)),
    ]
    decoder = nn.ModuleList([network.decoder_stages, network.bottlenecks, network.last_upsample, network.head])
    assert not any("Norm" in type(module).__name__ for module in decoder.modules())


def of(modules: nn.Module) -> list[nn.Conv2d]:
    return [module for module in modules.modules() if isinstance(module, nn.Conv2d)]


def test_upsample_then_convolve_then_join_then_convolve():
    torch.manual_seed(0)
    network = SelimUnet("resnet18", classes=2, decoder_channels=(8, 12, 16, 20)).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        _, *skips, value = network.encoder(image)
        for index in (3, 2, 1, 0):
            doubled = value.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            stage, merge = of(network.decoder_stages)[index], of(network.bottlenecks)[index]
            value = F.relu(F.conv2d(doubled, stage.weight, stage.bias, padding=1))
            value = F.relu(F.conv2d(torch.cat([value, skips[index]], 1), merge.weight, merge.bias, padding=1))
        doubled = value.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        last = of(network.last_upsample)[0]
        value = F.relu(F.conv2d(doubled, last.weight, last.bias, padding=1))
        expected = F.conv2d(value, network.head.weight, network.head.bias)
        torch.testing.assert_close(network(image), expected)
    assert network(torch.zeros(1, 3, 65, 47)).shape == (1, 2, 65, 47)

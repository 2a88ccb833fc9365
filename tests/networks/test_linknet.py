"""M09, M40: LinkNet whose skip connections are joined by a convolution."""

import pytest
import segmentation_models_pytorch as smp
import torch

from networks import ConcatLinknet


@pytest.mark.parametrize("encoder", ["resnet18", "tu-convnext_atto", "mobilenet_v2"])
def test_with_identity_weights_it_is_the_additive_linknet(encoder):
    torch.manual_seed(0)
    additive, joined = smp.Linknet(encoder, encoder_weights=None).eval(), ConcatLinknet(encoder).eval()
    lacking = joined.load_state_dict(additive.state_dict(), strict=False)
    assert lacking.unexpected_keys == []
    assert all(key.startswith("decoder.merges.") for key in lacking.missing_keys)
    for merge in joined.decoder.merges:
        if isinstance(merge, torch.nn.Conv2d):
            channels = merge.out_channels
            expected = torch.cat([torch.eye(channels), torch.eye(channels)], dim=1)
            assert torch.equal(merge.weight[:, :, 0, 0], expected)
            assert not merge.bias.any()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(joined(image), additive(image))
        joined.decoder.merges[0].weight.mul_(0.5)
        assert not torch.allclose(joined(image), additive(image))


def test_each_skip_of_c_channels_costs_2c_squared_and_c():
    additive, joined = smp.Linknet("resnet18", encoder_weights=None), ConcatLinknet("resnet18")

    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(joined) - count(additive) == sum(2 * c * c + c for c in (64, 64, 128, 256))


def test_sides_that_are_no_multiple_of_32():
    network = ConcatLinknet("resnet18", classes=3).eval()
    assert network(torch.zeros(1, 3, 65, 47)).shape == (1, 3, 65, 47)
    with pytest.raises(RuntimeError, match="divisible by 32"):
        smp.Linknet("resnet18", encoder_weights=None)(torch.zeros(1, 3, 65, 47))


def test_an_encoder_that_smps_linknet_refuses():
    assert ConcatLinknet("mit_b0").eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)

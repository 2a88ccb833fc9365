"""First layers for other numbers of channels."""

import pytest
import torch
from jsonargparse import ArgumentParser
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from networks.first_layer import repack, repack_state, set_in_channels, spread


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 9, 12])
def test_a_grey_image_gives_the_responses_it_gave(channels):
    layer = nn.Conv2d(3, 8, 7, padding=3, bias=False)
    grey = torch.randn(2, 1, 16, 16)
    weight = repack(layer.weight.data, channels)
    assert weight.shape == (8, channels, 7, 7)
    found = nn.functional.conv2d(grey.expand(-1, channels, -1, -1), weight, padding=3)
    torch.testing.assert_close(found, layer(grey.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(spread(3, channels).sum(1), torch.ones(3))


def test_three_channels_stay_as_they_are():
    weight = torch.randn(4, 3, 3, 3)
    assert torch.equal(repack(weight, 3), weight)


def test_repeats_equal_those_of_timm_where_the_colours_share_alike():
    from timm.models._manipulate import adapt_input_conv

    weight = torch.randn(4, 3, 3, 3)
    for channels in (1, 6, 9):
        torch.testing.assert_close(repack(weight, channels), adapt_input_conv(channels, weight.clone()))


def test_copies_are_equal_to_the_last_bit():
    weight = torch.randn(4, 3, 7, 7).half()
    copied = repack(weight, 4, [0, 1, 2, 1])
    assert torch.equal(copied[:, :3], weight)
    assert torch.equal(copied[:, 3], weight[:, 1])


@pytest.mark.parametrize("copies", [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, -1]])
def test_bad_copies_are_refused(copies):
    with pytest.raises(ValueError, match=r"channel_copies is .*, expected 4 indices .* in 0\.\.2"):
        repack(torch.randn(4, 3, 3, 3), 4, copies)


def test_only_first_layers_of_a_state_dict_are_repacked():
    def network(channels):
        return nn.Sequential(nn.Conv2d(channels, 3, 3), nn.Conv2d(3, 8, 3), nn.Conv3d(8, 4, 1))

    known, wanted = network(3).state_dict(), network(5)
    fitted = repack_state(known, wanted.state_dict(), 5)
    wanted.load_state_dict(fitted)
    changed = [name for name in known if known[name].shape != fitted[name].shape]
    assert changed == ["0.weight"]
    # blue, green, red: nothing to fit, but another order, in the first layer alone
    turned = repack_state(known, network(3).state_dict(), 3, [2, 1, 0])
    assert torch.equal(turned["0.weight"], known["0.weight"].flip(1))
    assert torch.equal(turned["1.weight"], known["1.weight"])


@pytest.mark.parametrize("name", ["resnet18", "tu-tf_mobilenetv3_small_minimal_100", "densenet121"])
def test_encoders_of_smp_take_four_channels(name):
    encoder = get_encoder(name, in_channels=3, depth=5, weights=None).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = encoder(image)[-1]
        # a fourth channel of nothing changes nothing where copies are undivided
        found = set_in_channels(encoder, 4, [0, 1, 2, 1])(torch.cat([image, torch.zeros(1, 1, 64, 64)], 1))
    torch.testing.assert_close(found[-1], expected)
    assert found[0].shape[1] == encoder.out_channels[0] == 4


def test_volumes_and_layers_without_weights_of_their_own():
    network = set_in_channels(nn.Sequential(nn.Conv3d(3, 4, 3)), 1)
    assert network(torch.randn(1, 1, 4, 4, 4)).shape == (1, 4, 2, 2, 2)
    with pytest.raises(ValueError, match="Linear has no convolution"):
        set_in_channels(nn.Linear(3, 3), 4)
    with pytest.raises(ValueError, match="has 3 groups"):
        set_in_channels(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3)), 4)


def test_around_a_network_from_yaml():
    init_args = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 1, "in_channels": 3}
    unet = {"class_path": "segmentation_models_pytorch.Unet", "init_args": init_args}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(nn.Module, "network")
    config = {"class_path": "networks.set_in_channels", "init_args": {"network": unet, "channels": 4}}
    config["init_args"]["copies"] = [0, 1, 2, 1]
    network = parser.instantiate_classes(parser.parse_object({"network": config})).network.eval()
    assert network(torch.randn(1, 4, 64, 64)).shape == (1, 1, 64, 64)
    weight = network.encoder.conv1.weight
    assert torch.equal(weight[:, 3], weight[:, 1])

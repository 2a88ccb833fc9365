"""Group norm and frozen batch norm in any network."""

import copy

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from benchmarks.networks import build
from networks import to_frozen_batch_norm, to_group_norm


def trained(network: nn.Module) -> nn.Module:
    """With statistics, weights and biases unlike those of a new network."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network


NETWORKS = {
    "smp": lambda: smp.Unet("resnet18", encoder_weights=None, decoder_channels=[32, 24, 16, 10, 5]),
    "timm, norms with their activation": lambda: timm.create_model("tf_mobilenetv3_small_minimal_100", num_classes=3),
    "timm, plain norms": lambda: timm.create_model("resnet10t", num_classes=3),
    "a single norm": lambda: nn.BatchNorm2d(3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_group_norm_takes_the_place_of_every_batch_norm(name):
    network = trained(NETWORKS[name]())
    before = {key: module for key, module in network.named_modules() if isinstance(module, _BatchNorm)}
    weights = {key: module.weight.detach().clone() for key, module in before.items()}
    changed = to_group_norm(network)
    assert changed is network or not list(network.children())
    after = dict(changed.named_modules())
    assert not any(isinstance(module, _BatchNorm) for module in after.values())
    for key, old in before.items():
        new = after[key]
        assert isinstance(new, nn.GroupNorm)
        assert torch.equal(new.weight, weights[key])
        assert old.num_features % new.num_groups == 0
        larger = [n for n in range(new.num_groups + 1, 33) if n <= old.num_features and old.num_features % n == 0]
        assert larger == []
        assert getattr(new, "act", None) is getattr(old, "act", None)
    # A batch of one, which batch norm cannot be trained with.
    changed.train()(torch.randn(1, 3, 64, 64)).mean().backward()
    assert all(parameter.grad is not None for parameter in changed.parameters())


def test_one_image_no_longer_depends_on_the_others():
    network = to_group_norm(NETWORKS["smp"]()).train()
    images = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-3, atol=1e-4)


def test_three_dimensions_and_one():
    network = nn.Sequential(nn.Conv3d(1, 12, 3), nn.BatchNorm3d(12), nn.Flatten(2), nn.BatchNorm1d(12))
    to_group_norm(network, groups=8)
    assert [module.num_groups for module in network if isinstance(module, nn.GroupNorm)] == [6, 6]
    assert network(torch.randn(1, 1, 5, 5, 5)).shape == (1, 12, 27)


def test_a_norm_in_two_places_stays_one():
    norm = nn.BatchNorm2d(4)
    network = to_group_norm(nn.Sequential(norm, nn.Sequential(nn.ReLU(), norm)))
    assert network[0] is network[1][1]


@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_batch_norm_is_the_evaluation_of_the_network_in_training_too(name):
    network = trained(NETWORKS[name]())
    state = copy.deepcopy(network.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.eval()(image)
    frozen = to_frozen_batch_norm(network)
    with torch.no_grad():
        torch.testing.assert_close(frozen.train()(image), expected, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(value, state[key]) for key, value in frozen.state_dict().items())  # nothing has moved
    norms = [module for module in frozen.modules() if "Frozen" in type(module).__name__]
    assert norms
    assert not any(list(norm.parameters(recurse=False)) for norm in norms)
    # Weights of a network that was never frozen load by their names.
    other = to_frozen_batch_norm(NETWORKS[name]())
    other.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(image), expected, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_frozen_or_replaced():
    with pytest.raises(ValueError, match=r"^1 is a BatchNorm3d; only 2-D .* use networks.to_group_norm"):
        to_frozen_batch_norm(nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2)))
    with pytest.raises(ValueError, match="BatchNorm2d without running statistics"):
        to_frozen_batch_norm(nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(ValueError, match="Conv2d has no batch norm to replace"):
        to_group_norm(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="groups is 0"):
        to_group_norm(nn.BatchNorm2d(2), groups=0)


@pytest.mark.parametrize(
    ("switch", "norm"), [("to_group_norm", nn.GroupNorm), ("to_frozen_batch_norm", FrozenBatchNorm2d)]
)
def test_the_switch_in_yaml(switch, norm):
    inner = {"class_path": "segmentation_models_pytorch.Unet", "init_args": {"encoder_name": "resnet18"}}
    inner["init_args"]["encoder_weights"] = None
    network = build({"class_path": f"networks.{switch}", "init_args": {"network": inner}})
    assert isinstance(network, smp.Unet)
    assert isinstance(network.encoder.bn1, norm)
    assert sum(isinstance(module, norm) for module in network.modules()) == 30

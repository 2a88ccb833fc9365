"""Learning rates that fall from the head to the first layer."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from lightning_modules import ClassificationModule, SegmentationModule
from lightning_modules.rates import encoders, layers, rate_scales
from networks import ImageClassifier


def by_name(network, scales):
    return {name: scales[value] for name, value in network.named_parameters()}


@pytest.fixture(scope="module")
def unet():
    return smp.Unet("resnet18", encoder_weights=None, classes=1)


def test_a_timm_encoder_has_the_layers_that_timm_says():
    """The reference: timm's own groups for the same model with a head."""
    with torch.device("meta"):
        network, whole = ImageClassifier("resnet18", 2), timm.create_model("resnet18", num_classes=2)
    found = by_name(network, rate_scales(network, layer_decay=0.65))
    reference = {}
    names = {id(value): name for name, value in whole.named_parameters()}
    for group in param_groups_layer_decay(whole, layer_decay=0.65):
        reference |= {names[id(value)]: group["lr_scale"] for value in group["params"]}
    for name, scale in reference.items():
        ours = name.replace("fc.", "head.layers.0.") if name.startswith("fc.") else f"encoder.{name}"
        if name.startswith("fc."):
            assert scale == 1
            assert all(value == 1 for key, value in found.items() if key.startswith("head."))
        else:
            assert found[ours] == pytest.approx(scale), name


def test_rates_of_an_smp_network_are_geometric(unet):
    found = by_name(unet, rate_scales(unet, layer_decay=0.5))
    assert {value for name, value in found.items() if not name.startswith("encoder.")} == {1.0}
    order = ["layer4.1", "layer4.0", "layer3.1", "layer3.0", "layer2.1", "layer2.0", "layer1.1", "layer1.0"]
    for distance, block in enumerate(order, start=1):
        assert {v for k, v in found.items() if k.startswith(f"encoder.{block}.")} == {0.5**distance}, block
    assert found["encoder.conv1.weight"] == found["encoder.bn1.weight"] == 0.5**9


@pytest.mark.parametrize("name", ["vgg11", "efficientnet-b0", "tu-resnet18", "tu-tf_mobilenetv3_small_minimal_100"])
def test_every_parameter_has_one_layer(name):
    with torch.device("meta"):
        network = smp.Unet(name, encoder_weights=None)
    (encoder,) = encoders(network)
    found = layers(encoder)
    ids = [id(value) for layer in found for value in layer]
    assert sorted(ids) == sorted(id(value) for value in encoder.parameters())
    assert len(found) >= 8
    assert all(any(value.ndim > 1 for value in layer) for layer in found)


def test_networks_without_an_encoder_go_by_their_order():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))
    found = by_name(network, rate_scales(network, layer_decay=0.5))
    assert found["0.weight"] == found["1.bias"] == 0.25
    assert found["2.weight"] == 0.5
    assert found["3.weight"] == 1
    with pytest.raises(ValueError, match="Sequential has no module named encoder or backbone, only 0, 1, 2, 3"):
        rate_scales(network, encoder_lr_factor=0.1)
    with pytest.raises(ValueError, match="layer_decay is 1.5"):
        rate_scales(network, layer_decay=1.5)


class Centres(nn.Module):
    learning_rate = 0.5

    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3))

    def forward(self, logits, target):
        return (logits.mean() - self.centre).square().sum()


class Optimised:
    """A module's optimizer, made without a trainer."""

    def __init__(self, module):
        module._may_fuse = lambda: False
        self.groups = module.configure_optimizers().param_groups
        self.names = {id(value): name for name, value in module.named_parameters()}

    def rates(self):
        return {self.names[id(value)]: group["lr"] for group in self.groups for value in group["params"]}

    def decayed(self):
        return {self.names[id(value)] for group in self.groups if group["weight_decay"] for value in group["params"]}


def test_groups_of_the_optimizer(unet):
    """Layer decay beside a factor of the encoder, frozen parts, and a loss that learns at its own rate."""
    module = SegmentationModule(
        network=unet,
        outputs=["mask"],
        loss="bce + centres(mask)",
        loss_terms={"centres": Centres()},
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1),
        layer_decay=0.5,
        encoder_lr_factor=0.1,
        freeze=["encoder.conv1", "encoder.bn1", "encoder.layer1"],
    )
    made = Optimised(module)
    rates = made.rates()
    assert rates["loss.named_terms.centres.centre"] == 0.5
    assert rates["network.segmentation_head.0.weight"] == 0.01
    assert rates["network.encoder.layer4.1.conv1.weight"] == pytest.approx(0.01 * 0.1 * 0.5)
    assert rates["network.encoder.layer2.0.bn1.weight"] == pytest.approx(0.01 * 0.1 * 0.5**6)
    assert max(rate for name, rate in rates.items() if name.startswith("network.encoder")) < 0.01
    assert not any(name.startswith(("network.encoder.layer1", "network.encoder.conv1")) for name in rates)
    parameters = dict(module.named_parameters())
    assert made.decayed() == {name for name in rates if name.startswith("network.") and parameters[name].ndim > 1}
    for value in module.parameters():
        value.requires_grad_(True)


def test_one_rate_for_all_makes_the_two_groups_of_old():
    with torch.device("meta"):
        network = ImageClassifier("resnet18", 2)
    module = ClassificationModule(network, ["label"], "bce")
    assert len(Optimised(module).groups) == 2


def test_without_weight_decay_nothing_is_lost():
    with torch.device("meta"):
        network = ImageClassifier("resnet18", 2)
    module = ClassificationModule(network, ["label"], "bce", layer_decay=0.7)
    assert len(Optimised(module).rates()) == len(list(network.parameters()))


def test_nothing_to_train_is_an_error():
    module = SegmentationModule(nn.Conv2d(3, 1, 1), ["mask"], "bce", freeze=[""])
    with pytest.raises(ValueError, match="nothing is left to train"):
        module.configure_optimizers()

"""Frozen parts of networks."""

import copy
import io

import pytest
import torch
from torch.nn import functional as F

from networks import ImageClassifier
from networks.freeze import freeze

SMALL = "tf_mobilenetv3_small_minimal_100"


def trained(network: torch.nn.Module) -> torch.nn.Module:
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        loss = F.cross_entropy(network.train()(torch.randn(4, 3, 64, 64) * 3 + 1), torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def test_the_encoder_stays_as_it_is_to_the_last_bit():
    network = ImageClassifier(SMALL, 4)
    before = copy.deepcopy(network.state_dict())
    freeze(network, ["encoder"])
    image = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        cached = network.features(image)
    after = trained(network).state_dict()
    for name, value in before.items():
        assert torch.equal(after[name], value) == name.startswith("encoder."), name
    with torch.no_grad():  # in training mode: cached features are the live ones
        assert torch.equal(network.train().features(image), cached)


def test_without_freezing_everything_moves():
    network = ImageClassifier(SMALL, 4)
    before = copy.deepcopy(network.state_dict())
    after = trained(network).state_dict()
    assert not torch.equal(after["encoder.conv_stem.weight"], before["encoder.conv_stem.weight"])
    assert not torch.equal(after["encoder.bn1.running_mean"], before["encoder.bn1.running_mean"])


def test_a_part_and_the_whole():
    network = ImageClassifier("resnet18", 2)
    freeze(network, ["encoder.conv1", "encoder.layer1"])
    network.train()
    assert not network.encoder.layer1[0].bn1.training
    assert network.encoder.layer2[0].bn1.training
    assert network.encoder.layer2[0].conv1.weight.requires_grad
    freeze(network, [""])
    assert not any(module.training for module in network.train().modules())


def test_copies_stay_frozen_by_themselves():
    network = ImageClassifier(SMALL, 2)
    freeze(network, ["encoder"])
    other = copy.deepcopy(network)
    content = io.BytesIO()
    torch.save(network, content)
    content.seek(0)
    for copied in (other, torch.load(content, weights_only=False)):
        copied.train()
        assert not copied.encoder.training
        assert copied.head.training
        assert copied.encoder.train.module is copied.encoder


def test_unknown_names_say_what_there_is():
    network = ImageClassifier("resnet18", 2)
    with pytest.raises(ValueError, match="ImageClassifier has no module 'backbone'; it has encoder, head"):
        freeze(network, ["backbone"])
    with pytest.raises(ValueError, match="no module 'encoder.layer9'; encoder has conv1, bn1"):
        freeze(network, ["encoder.layer9"])
    with pytest.raises(ValueError, match="'encoder.act1' has no parameters"):
        freeze(network, ["encoder.act1"])

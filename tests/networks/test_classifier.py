"""timm's classifiers behind one constructor."""

import pytest
import torch

from networks import ImageClassifier


@pytest.mark.parametrize("pooling", ["avg", "max", "catavgmax"])
def test_logits_of_any_size_and_channels(pooling):
    network = ImageClassifier("tf_mobilenetv3_small_minimal_100", 5, in_channels=4, pooling=pooling).eval()
    assert network(torch.randn(2, 4, 64, 96)).shape == (2, 5)


def test_dropout_is_in_training_alone():
    network = ImageClassifier("resnet18", 3, dropout=0.5)
    image = torch.randn(1, 3, 64, 64)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_unknown_names_list_the_nearest():
    with pytest.raises(ValueError, match="no model 'resnext50'; did you mean .*resnext50"):
        ImageClassifier("resnext50", 3)

"""Normalisation and optimizer groups of every module."""

import pytest
import torch
from torch import nn

from lightning_modules import SegmentationModule


class Centres(nn.Module):
    """A loss with a parameter and a learning rate of its own."""

    learning_rate = 0.5

    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3))

    def forward(self, logits, target):
        return (logits.mean() - self.centre).square().sum()


def module(**arguments):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    settings = {"network": network, "outputs": ["mask"], "loss": "bce"}
    return SegmentationModule(**settings | arguments)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 4, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_normalisation_is_per_channel_in_two_and_three_dimensions(shape, dtype):
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    images = torch.randint(0, 200, shape).to(dtype)
    result = module(mean=mean, std=std, input_range=200).normalise(images)
    for channel in range(3):
        expected = (images[:, channel].float() / 200 - mean[channel]) / std[channel]
        torch.testing.assert_close(result[:, channel], expected)


def test_wrong_number_of_means_is_named():
    with pytest.raises(ValueError, match="model.mean has 3 values, but the images have 4 channels"):
        module().normalise(torch.zeros(1, 4, 8, 8))
    assert module(mean=0.5, std=0.25).normalise(torch.zeros(1, 4, 8, 8)).mean() == -2


def test_norms_biases_and_losses_are_not_decayed():
    made = module(loss="bce + centres(mask)", loss_terms={"centres": Centres()})
    groups = made.parameter_groups()
    decayed = [parameter for group in groups if group.get("weight_decay") is None for parameter in group["params"]]
    assert all(parameter.ndim > 1 for parameter in decayed)
    assert len(decayed) == 2
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01, 0.5]
    found = {id(parameter) for group in groups for parameter in group["params"]}
    assert found == {id(parameter) for parameter in made.parameters()}


def test_frozen_parts_stay_as_they_are():
    """Weights and statistics of the first layers are the same bits after training steps; the last one moves."""
    torch.manual_seed(0)
    made = module(freeze=["0", "1"])
    before = {key: value.clone() for key, value in made.network.state_dict().items()}
    optimizer = torch.optim.AdamW(made.parameter_groups(), lr=0.1, weight_decay=0.1)
    made.train()
    for _ in range(3):
        outputs = made(made.normalise(torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8)))
        made.loss(outputs, {"mask": torch.ones(2, 1, 8, 8)})[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    after = made.network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if not key.startswith("2."))
    assert not torch.equal(after["2.weight"], before["2.weight"])
    with pytest.raises(ValueError, match="no module 'encoder'"):
        module(freeze=["encoder"])


def test_a_batch_of_one_that_batch_norm_cannot_take_is_explained():
    """DeepLab's pooling branch has one value per channel: torch alone says which shape it did not expect."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    made = module(network=network).train()
    with pytest.raises(ValueError, match=r"single value per channel in a batch of 1: set data.batch_size to 2"):
        made(torch.zeros(1, 3, 8, 8))
    assert made(torch.zeros(2, 3, 8, 8))["mask"].shape == (2, 1, 1, 1)
    assert made.eval()(torch.zeros(1, 3, 8, 8))["mask"].shape == (1, 1, 1, 1)


def test_a_task_without_losses_of_its_own_wants_a_formula():
    with pytest.raises(ValueError, match="model.loss is not set, but SegmentationModule has no loss of its own"):
        module(loss=None)

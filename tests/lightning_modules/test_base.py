"""Normalisation and optimizer groups of every module."""

import math

import pytest
import torch
from torch import nn

from lightning_modules import SegmentationModule
from losses import LossFormula


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


def test_an_image_of_which_no_pixel_counts_has_no_validation_loss():
    made, prediction = module(), {"mask": torch.full((1, 4, 4), 0.8)}
    batch = {"mask": [torch.ones(1, 4, 4, dtype=torch.uint8)], "valid": [torch.zeros(4, 4, dtype=torch.bool)]}
    assert made.validation_loss(prediction, batch, 0) is None
    batch["valid"][0][0, 0] = True
    batch["mask"][0][0, 1:] = 0  # of which nobody knows
    assert made.validation_loss(prediction, batch, 0) == pytest.approx(-math.log(0.8), rel=1e-5)
    labelled = module(outputs=["mask", "empty"])
    prediction["empty"] = torch.full((1,), 0.8)
    batch |= {"valid": [torch.zeros(4, 4, dtype=torch.bool)], "empty": [torch.ones(1)]}
    labelled.loss = LossFormula("bce(mask) + bce(empty)")
    assert labelled.validation_loss(prediction, batch, 0) == pytest.approx(-math.log(0.8), rel=1e-5)


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


class Quarter(nn.Module):
    """Logits at a quarter of the image."""

    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 4, stride=4)

    def forward(self, image):
        return self.conv(image)


@pytest.mark.parametrize(("classes", "loss"), [(1, "bce + dice"), (3, "cross_entropy + dice")])
def test_a_network_that_predicts_at_a_quarter_of_the_image(classes, loss):
    """It trains, with pixels that do not count, and its predictions have the image's size."""
    torch.manual_seed(0)
    activations = {"mask": "softmax"} if classes > 1 else None
    made = module(network=Quarter(classes), loss=loss, activations=activations, mean=0.0, std=1.0)
    blocks = torch.randint(0, max(2, classes), (2, 16, 16))
    truth = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
    image = torch.stack([200 * (truth == value) for value in range(3)], 1).to(torch.uint8)
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    valid[:, :32] = False
    mask = torch.where(valid, truth, 255) if classes > 1 else torch.where(valid, truth, 1 - truth)[:, None]
    batch = {"image": image, "mask": mask, "valid": valid}
    optimizer = torch.optim.Adam(made.parameters(), lr=0.1)
    losses = []
    for _ in range(150):
        total, _ = made.training_loss(batch)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.3 * losses[0]
    prediction = made.predict_image([image[0, :, :62, :61]])
    assert prediction["mask"].shape == (classes, 62, 61)
    found = prediction["mask"].argmax(0) if classes > 1 else prediction["mask"][0] > 0.5
    centres = (slice(1, 62, 4), slice(1, 61, 4))  # between them the map is interpolated
    assert (found[centres] == truth[0][centres]).float().mean() > 0.9
    loss = made.validation_loss(
        prediction, {"mask": [truth[0, :62, :61][None] if classes == 1 else truth[0, :62, :61]]}, 0
    )
    assert torch.isfinite(loss)


@pytest.mark.parametrize("loss", ["bce", "2 * bce + mse(mask)"])
def test_an_image_counts_by_its_weight_and_not_by_those_beside_it(loss):
    """A batch is the mean over its images of weight times loss: light ones make a small step, also among themselves."""
    made = module(loss=loss)
    batch = {"image": torch.randint(0, 255, (3, 3, 8, 8)), "mask": torch.randint(0, 2, (3, 1, 8, 8))}
    made.eval()  # batch norm looks at the batch otherwise

    def alone(number):
        return made.training_loss({name: value[number : number + 1] for name, value in batch.items()})

    for weight in ([1.0, 1.0, 1.0], [2.0, 0.5, 0.0], [0.1, 0.1, 0.1]):
        total, parts = made.training_loss(batch | {"weight": torch.tensor(weight)})
        expected = sum(one * alone(number)[0] for number, one in enumerate(weight)) / 3
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(sum(parts.values()), total)
        for name, part in parts.items():
            own = sum(weight[number] * alone(number)[1][name] for number in range(3)) / 3
            torch.testing.assert_close(part, own)
    torch.testing.assert_close(made.training_loss(batch)[0], sum(alone(number)[0] for number in range(3)) / 3)

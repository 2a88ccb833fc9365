"""Mean and std follow the pretrained weights that were loaded, unless they are set or loaded with a checkpoint."""

import pytest
import timm
import torch
from torch import nn

from lightning_modules import SegmentationModule
from lightning_modules.normalisation import IMAGENET_MEAN, IMAGENET_STD, describe
from networks import ImageClassifier
from networks.encoder_weights import LoadedWeights

NAME = "vit_tiny_patch16_224"  # expects 0.5


@pytest.fixture
def weights(tmp_path, monkeypatch, no_network):
    torch.save(timm.create_model(NAME).state_dict(), tmp_path / f"{NAME}.pth")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    return tmp_path / f"{NAME}.pth"


def module(network: nn.Module, **settings) -> SegmentationModule:
    return SegmentationModule(network=network, outputs=["mask"], loss="bce", **settings)


def lines(one: SegmentationModule) -> list[str]:
    return describe(one.network, one.mean, one.std, float(one.input_range))


def statistics(one: SegmentationModule) -> tuple[list[float], list[float]]:
    return tuple([round(value, 4) for value in values.flatten().tolist()] for values in (one.mean, one.std))


def test_they_follow_the_weights_and_are_told(weights):
    one = module(ImageClassifier(NAME, 1, pretrained=True))
    assert statistics(one) == ([0.5] * 3, [0.5] * 3)
    assert lines(one) == [
        f"weights  {NAME}: all 150 tensors from {weights}; not used: head",
        "images   mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5], as the weights expect",
    ]


def test_set_ones_win_with_a_hint(weights):
    one = module(ImageClassifier(NAME, 1, pretrained=True), mean=list(IMAGENET_MEAN), std=0.25)
    assert statistics(one) == (list(IMAGENET_MEAN), [0.25])
    assert lines(one)[1] == (
        "hint     the weights expect model.mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5]; the set ones, "
        "[0.485, 0.456, 0.406] and [0.25, 0.25, 0.25], are used"
    )


def test_random_weights_have_those_of_imagenet_and_nothing_is_told():
    one = module(ImageClassifier(NAME, 1))
    assert statistics(one) == (list(IMAGENET_MEAN), list(IMAGENET_STD))
    assert lines(one) == []


def test_a_loaded_run_keeps_those_of_its_training(weights, tmp_path):
    trained = module(ImageClassifier(NAME, 1, pretrained=True))
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "run.ckpt")
    started = module(ImageClassifier(NAME, 1), init_from=str(tmp_path / "run.ckpt"), encoder_init_from="gone.pth")
    resumed = module(ImageClassifier(NAME, 1))
    resumed.load_state_dict(trained.state_dict())
    assert statistics(started) == statistics(resumed) == ([0.5] * 3, [0.5] * 3)


def test_a_file_for_the_encoder_alone(weights):
    state = torch.load(weights, weights_only=True)
    one = module(ImageClassifier(NAME, 1), encoder_init_from=str(weights))
    assert torch.equal(one.network.encoder.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])
    assert statistics(one) == ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize(("input_range", "factor"), [(255, 1), (1, 255)])
def test_the_same_normalisation_in_other_units_is_no_hint(input_range, factor, tmp_path):
    expected = ([128 / 255, 117 / 255, 104 / 255], [1 / 255] * 3)
    network = nn.Conv2d(3, 1, 1)
    network.loaded_weights = LoadedWeights("bninception", tmp_path, 2, 2, [], [], expected)
    given = ([value * factor for value in values] for values in expected)
    one = module(network, **dict(zip(("mean", "std"), given, strict=True)), input_range=input_range)
    assert lines(one)[1].endswith("as the weights expect")


def test_channels_that_the_weights_do_not_know_are_no_hint(tmp_path):
    network = nn.Conv2d(4, 1, 1)
    network.loaded_weights = LoadedWeights("resnet34", tmp_path, 2, 2, [], [], ([0.5] * 3, [0.5] * 3))
    assert len(lines(module(network, mean=[0.1] * 4, std=[0.2] * 4))) == 1

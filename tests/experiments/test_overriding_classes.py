"""A class in a later config keeps the arguments of the same class only."""

import copy

import pytest

from experiments.overriding_classes import inherited, same_class, without_replaced

UNET = {"class_path": "smp.Unet", "init_args": {"encoder_name": "a", "decoder_channels": [8], "classes": 2}}


def config(network, lr=0.1):
    return {"model": {"class_path": "m.Module", "init_args": {"network": network, "lr": lr}}, "panels": 2}


def test_another_class_drops_the_arguments_of_the_first():
    later = {"model": {"init_args": {"network": {"class_path": "smp.FPN", "init_args": {"encoder_name": "b"}}}}}
    given = [config(UNET), {"model": {"init_args": {"network": {"init_args": {"classes": 3}}}}}, later]
    before = copy.deepcopy(given)
    found = without_replaced(given)
    assert given == before
    assert found[0] == {"model": {"class_path": "m.Module", "init_args": {"lr": 0.1}}, "panels": 2}
    assert found[1] == {"model": {"init_args": {}}}
    assert found[2] == later
    assert inherited(given) == ["dropped  model.network: decoder_channels, classes (of Unet)"]


def test_the_same_class_keeps_them():
    later = {"model": {"init_args": {"network": {"class_path": "smp.Unet", "init_args": {"encoder_name": "b"}}}}}
    given = [config(UNET), later]
    assert without_replaced(given) == given
    assert inherited(given) == ["kept     model.network: decoder_channels, classes (Unet as before)"]
    assert inherited(given[:1]) == []


def test_classes_of_classes_go_with_them():
    outer = {"model": {"class_path": "m.Other", "init_args": {"network": UNET}}}
    found = without_replaced([config({"class_path": "smp.FPN", "init_args": {"depth": 3}}), outer])
    assert found == [{"panels": 2}, outer]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("evaluation.DicePerImage", "evaluation.metrics.DicePerImage", True),
        ("evaluation.DicePerImage", "evaluation.metrics.dice.DicePerImage", True),
        ("evaluation.DicePerImage", "evaluation.IoUPerImage", False),
        ("collections.abc.Iterator", "typing.Iterator", False),
        ("nowhere.Net", "elsewhere.Net", True),
    ],
)
def test_two_paths_of_one_class(one, other, same):
    assert same_class(one, other) == same


def test_a_datamodule_keeps_what_datamodules_share():
    before = {"data": {"class_path": "datamodules.DicomDataModule", "init_args": {"targets": [], "batch_size": 4}}}
    after = {"data": {"class_path": "datamodules.ImageDataModule", "init_args": {"root": "out"}}}
    assert without_replaced([before, after]) == [before, after]
    assert inherited([before, after]) == ["kept     data: targets, batch_size (of DicomDataModule)"]

"""Names, hubs and normalisation of the pretrained weights of smp, timm and torchvision."""

import json

import pytest
import segmentation_models_pytorch as smp
import timm
import torchvision

from networks.weight_sources import (
    IMAGENET,
    same_in_timm,
    statistics_beside,
    statistics_of_smp,
    statistics_of_timm,
    statistics_of_torchvision,
    wanted_of_smp,
    wanted_of_timm,
    wanted_of_torchvision,
)

HALF = ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize("name", ["inception_resnet_v2", "tf_efficientnetv2_s", "vit_base_patch16_224", "nasnetalarge"])
def test_networks_of_timm_that_expect_half(name):
    assert statistics_of_timm(name) == HALF


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("resnet34", "imagenet", IMAGENET),
        ("mit_b0", "imagenet", IMAGENET),
        ("inceptionresnetv2", "imagenet", HALF),
        ("inceptionv4", "imagenet+background", HALF),
        ("xception", "imagenet", HALF),
        ("efficientnet-b0", "imagenet", IMAGENET),
        ("efficientnet-b0", "advprop", HALF),
        ("timm-efficientnet-b8", "imagenet", IMAGENET),
        ("timm-efficientnet-b8", "advprop", HALF),
        ("timm-efficientnet-b3", "noisy-student", IMAGENET),
        ("timm-tf_efficientnet_lite0", "imagenet", HALF),
    ],
)
def test_encoders_of_smp(name, weights, expected):
    assert statistics_of_smp(name, weights) == expected


def test_dpn_of_smp_expects_what_mxnet_used():
    mean, std = statistics_of_smp("dpn92", "imagenet+5k")
    assert [round(255 * value) for value in mean] == [124, 117, 104]
    assert std == pytest.approx([1 / (0.0167 * 255)] * 3)


def test_every_encoder_of_smp_has_a_file_name_and_a_hub():
    for name, entry in smp.encoders.encoders.items():
        for weights, settings in entry["pretrained_settings"].items():
            wanted = wanted_of_smp(name, weights)
            assert name in wanted.stems
            assert (wanted.repository, wanted.revision) == (settings["repo_id"], settings["revision"])
        assert same_in_timm(name) is None or timm.is_model(same_in_timm(name))
    with pytest.raises(ValueError, match=r"encoder_weights is 'imagenet', but smp has imagenet\+5k for 'dpn92'"):
        wanted_of_smp("dpn92", "imagenet")


def test_names_of_one_network_in_all_libraries():
    assert wanted_of_smp("resnet34", "imagenet").stems[:3] == ("resnet34", "resnet34.imagenet", "resnet34-b627a593")
    assert "legacy_seresnet50" in wanted_of_smp("se_resnet50", "imagenet").stems
    assert "resnet50" not in wanted_of_smp("resnet50", "swsl").stems[:1]
    stems = wanted_of_timm("resnet34").stems
    assert stems[:4] == ("resnet34", "tu-resnet34", "resnet34.a1_in1k", stems[3])
    assert wanted_of_timm("resnet34.a1_in1k").stems[0] == "resnet34.a1_in1k"
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    assert wanted_of_torchvision(weights, "resnet50", "weights: null").stems == (
        "resnet50", "resnet50-11ad3fa6", "resnet50.IMAGENET1K_V2"
    )  # fmt: skip


def test_torchvision_says_what_its_weights_expect_except_for_detectors():
    assert statistics_of_torchvision(torchvision.models.ResNet50_Weights.DEFAULT) == IMAGENET
    features = torchvision.models.VGG16_Weights.IMAGENET1K_FEATURES
    assert statistics_of_torchvision(features)[1] == pytest.approx([1 / 255] * 3)
    assert statistics_of_torchvision(torchvision.models.detection.SSD300_VGG16_Weights.DEFAULT) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"mean": [0.5] * 3, "std": [0.5] * 3, "input_range": [0, 1], "input_space": "RGB"}, HALF),  # of smp
        ({"architecture": "x", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}, HALF),  # of timm
        ({"mean": [127.5] * 3, "std": [127.5] * 3, "input_range": [0, 255]}, HALF),
        ({"model_type": "other"}, None),
        ([1], None),
    ],
)
def test_the_config_of_a_hub_beside_the_file(content, expected, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert statistics_beside(tmp_path / "model.safetensors") == expected
    assert statistics_beside(tmp_path / "resnet34.safetensors") is None

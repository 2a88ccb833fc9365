"""Where the weights of encoders come from."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file

from lightning_modules.weights import without_hub
from networks import ImageClassifier
from networks.encoder_weights import load_encoder, make_encoder
from networks.weight_files import find_weights_file
from networks.weight_sources import RENAMED, timm_name, wanted_of_timm

SMALL = "tf_mobilenetv3_small_minimal_100"


@pytest.fixture
def folder(tmp_path, monkeypatch, no_network):
    """`$WEIGHTS_DIR`, and no network."""
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    return tmp_path


def first_weight(network: torch.nn.Module) -> torch.Tensor:
    return next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d)).weight


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt", "bin"])
def test_a_local_file_comes_first(folder, ending):
    state = timm.create_model(SMALL, num_classes=1000).state_dict()  # with its classifier, as hubs have it
    path = folder / f"{SMALL}.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    network = ImageClassifier(SMALL, 5, pretrained=True)
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_folder_as_hubs_lay_it_out_and_a_name_with_its_tag(folder):
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    (folder / "resnet18").mkdir()
    save_file(state, folder / "resnet18" / "model.safetensors")
    assert find_weights_file(wanted_of_timm("resnet18.a1_in1k")) == folder / "resnet18" / "model.safetensors"
    network = make_encoder("resnet18.a1_in1k", pretrained=True)
    assert torch.equal(network.conv1.weight, state["conv1.weight"])


def test_files_wrapped_by_a_trainer_and_without_counts_of_batches(folder):
    state = timm.create_model("resnet18", num_classes=7).state_dict()  # a classifier of other classes
    old = {f"module.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": old, "epoch": 3}, folder / "resnet18.pth")
    assert torch.equal(make_encoder("resnet18", pretrained=True).conv1.weight, state["conv1.weight"])


def test_names_of_other_origins_are_translated_by_timm(folder):
    """ConvNeXt's own files have other names for its layers, and keep everything under `model`."""
    state = timm.create_model("convnext_atto", num_classes=1000).state_dict()
    old = {}
    for key, value in state.items():
        for new, name in (
            (r"^stem\.", "downsample_layers.0."),
            (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
            (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
            ("conv_dw", "dwconv"),
            (r"mlp\.fc", "pwconv"),
            (r"^head\.norm", "norm"),
            (r"^head\.fc", "head"),
        ):
            key = re.sub(new, name, key)
        old[key] = value
    assert not set(old) & set(state)
    torch.save({"model": old}, folder / "convnext_atto.pth")
    loaded = make_encoder("convnext_atto", pretrained=True)
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_four_channels_from_a_state_dict_of_three(folder):
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    torch.save(state, folder / "resnet18.pth")
    yellow = ImageClassifier("resnet18", 28, in_channels=4, pretrained=True, channel_copies=[0, 1, 2, 1])
    weight = yellow.encoder.conv1.weight
    assert torch.equal(weight[:, :3], state["conv1.weight"])
    assert torch.equal(weight[:, 3], state["conv1.weight"][:, 1])
    for channels in (1, 4, 9):
        network = ImageClassifier("resnet18", 28, in_channels=channels, pretrained=True).eval()
        torch.testing.assert_close(network.encoder.conv1.weight.sum(1), state["conv1.weight"].sum(1))
        assert torch.equal(network.encoder.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_encoders_with_feature_maps_take_the_same_files(folder):
    state = timm.create_model("resnet18", num_classes=1000).state_dict()
    torch.save(state, folder / "resnet18.pth")
    settings = {"features_only": True, "out_indices": (0, 1, 2, 3)}
    network = make_encoder("resnet18", True, 4, [0, 1, 2, 1], **settings)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name] if name != "conv1.weight" else state[name][:, [0, 1, 2, 1]])


def test_a_damaged_file_is_named(folder):
    (folder / f"{SMALL}.pth").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match=r"weights .*\.pth are damaged or not a state dict \(\d+ bytes\)"):
        make_encoder(SMALL, pretrained=True)


def test_what_does_not_fit_is_listed(folder):
    torch.save(timm.create_model("resnet34", num_classes=0).state_dict(), folder / "resnet18.pth")
    with pytest.raises(ValueError, match=r"resnet18.pth: \d+ weights do not fit the encoder:\n  unknown layer1\.2"):
        make_encoder("resnet18", pretrained=True)
    torch.save({"weight": torch.zeros(3)}, folder / "resnet18.pth")
    with pytest.raises(ValueError, match="missing conv1.weight"):
        make_encoder("resnet18", pretrained=True)


def test_no_file_and_no_hub(folder):
    with pytest.raises(OSError, match=rf"no weights of {SMALL} in .*no network in tests.*{SMALL}.safetensors.*false"):
        make_encoder(SMALL, pretrained=True)


def test_a_checkpoint_asks_nobody(folder):
    config = without_hub({"init_args": {"encoder": SMALL, "classes": 3, "pretrained": True, "channel_copies": [0]}})
    assert config["init_args"]["pretrained"] is False
    ImageClassifier(**config["init_args"], in_channels=1)


def test_old_names_are_translated_and_said():
    with pytest.warns(UserWarning, match="'senet154' is replaced by timm's 'legacy_senet154'.*'senet154.gluon_in1k'"):
        assert timm_name("senet154") == "legacy_senet154"
    assert timm_name("senet154.gluon_in1k") == "senet154.gluon_in1k"
    with pytest.warns(UserWarning, match="'xception' is replaced by timm's 'legacy_xception'"):
        assert timm_name("xception") == "legacy_xception"
    assert set(RENAMED.values()) <= set(timm.list_models())
    with pytest.raises(ValueError, match="networks.BnInception"):
        timm_name("bninception")


def test_the_two_senets_differ_in_their_weights():
    """The ImageNet weights of 2018, Cadene's, are those of the one that the old name is taken for."""
    assert "legacy_senet154" in timm.get_pretrained_cfg("legacy_senet154").url
    assert "gluon" in timm.get_pretrained_cfg("senet154").url


def test_what_was_loaded_is_told(folder):
    torch.save(timm.create_model("resnet18", num_classes=7).state_dict(), folder / "resnet18.pth")
    loaded = make_encoder("resnet18", pretrained=True).loaded_weights
    assert loaded.text() == f"resnet18: all 100 tensors from {folder / 'resnet18.pth'}; not used: fc"
    assert loaded.statistics == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_first_stages_take_the_file_of_a_whole_model_and_refuse_that_of_a_deeper_one(folder):
    for name in ("convnext_atto", "convnext_femto"):
        torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
    encoder = timm.create_model("convnext_atto", features_only=True, out_indices=(0, 1))
    load_encoder(encoder, folder / "convnext_atto.pth")
    whole = torch.load(folder / "convnext_atto.pth", weights_only=True)
    assert torch.equal(encoder.state_dict()["stages_1.blocks.0.gamma"], whole["stages.1.blocks.0.gamma"])
    assert encoder.loaded_weights.unused == ["stages", "head"]
    with pytest.raises(ValueError, match=r"convnext_femto.pth: \d+ weights do not fit the encoder"):
        load_encoder(encoder, folder / "convnext_femto.pth")


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", 64), ("swin_tiny_patch4_window7_224", 128)])
def test_positions_are_resampled_for_another_image_size(name, size, folder):
    whole = timm.create_model(name, num_classes=3)
    torch.save(whole.state_dict(), folder / f"{name}.pth")
    expected = timm.create_model(
        name, num_classes=0, img_size=size, pretrained=True, pretrained_cfg_overlay={"state_dict": whole.state_dict()}
    )
    encoder = timm.create_model(name, num_classes=0, img_size=size)
    load_encoder(encoder, folder / f"{name}.pth")
    for key, value in expected.state_dict().items():
        assert torch.equal(value, encoder.state_dict()[key]), key

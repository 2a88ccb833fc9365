"""Networks of smp, timm and torchvision, named by their own class_path, with weights from local files."""

import re
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from jsonargparse import ArgumentParser, Namespace
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from compat.jsonargparse import unwrap_parser_errors
from lightning_modules.normalisation import expected_statistics, loaded_weights
from lightning_modules.weights import prepare_networks
from networks.encoder_weights import load_encoder
from networks.weight_sources import same_in_timm


class Holder:
    """Takes a network from a config, as a LightningModule does."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network


def build(class_path: str, **arguments) -> nn.Module:
    """The network that a config with this class_path and these arguments gives."""
    return build_node({"class_path": class_path, "init_args": arguments})


def build_node(node: dict, pretrained: bool = True) -> nn.Module:
    parser = ArgumentParser()
    parser.add_subclass_arguments(Holder, "model")
    kind = f"{__name__}.Holder"
    parsed = parser.parse_object({"model": {"class_path": kind, "init_args": {"network": node}}})
    config = prepare_networks(parsed.model.as_dict(), pretrained)
    with unwrap_parser_errors():
        return parser.instantiate(Namespace(model=Namespace(config))).model.network


@pytest.fixture
def folder(tmp_path, monkeypatch, no_network) -> Path:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    return tmp_path


def save(network: nn.Module, path: Path) -> dict:
    state = {key: torch.rand_like(value) if value.is_floating_point() else value
             for key, value in network.state_dict().items()}  # fmt: skip
    torch.save(state, path)
    return state


UNET = "segmentation_models_pytorch.Unet"
RESNETS = {
    "torchvision": lambda: torchvision.models.resnet18(),
    "timm": lambda: timm.create_model("resnet18"),
    "smp": lambda: smp.encoders.get_encoder("resnet18"),
}


@pytest.mark.parametrize("library", RESNETS)
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_one_file_of_any_library_suits_both_encoders_of_smp(library, encoder, folder):
    state = save(RESNETS[library](), folder / "resnet18.pth")
    network = build(UNET, encoder_name=encoder, encoder_weights="imagenet", in_channels=3, classes=2)
    for key, value in network.encoder.state_dict().items():
        assert torch.equal(value, state[key.removeprefix("model.")]), key
    (loaded,) = loaded_weights(network)
    assert (loaded.matched, loaded.total, loaded.path) == (100, 100, folder / "resnet18.pth")


@pytest.mark.parametrize("channels", [1, 4, 11])
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18", "mobileone_s0"])
def test_first_layers_keep_the_response_to_grey_images(encoder, channels, folder):
    three = build(UNET, encoder_name=encoder, encoder_weights=None).eval()
    torch.save(three.encoder.state_dict(), folder / f"{encoder}.pth")
    network = build(UNET, encoder_name=encoder, encoder_weights="imagenet", in_channels=channels).eval()
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before, after = three.encoder(grey.expand(-1, 3, -1, -1)), network.encoder(grey.expand(-1, channels, -1, -1))
    for one, other in zip(before[1:], after[1:], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


def test_wrappers_see_the_weights(folder):
    """The weights are loaded where the inner network is built, so that outer functions change them."""
    state = save(torchvision.models.resnet18(), folder / "resnet18.pth")
    inner = {"class_path": UNET, "init_args": {"encoder_name": "resnet18", "encoder_weights": "imagenet"}}
    settings = {"network": inner, "channels": 4, "copies": [0, 1, 2, 1]}
    network = build_node({"class_path": "networks.set_in_channels", "init_args": settings})
    assert torch.equal(network.encoder.conv1.weight, state["conv1.weight"][:, [0, 1, 2, 1]])
    assert len(loaded_weights(network)) == 1


def test_transformers_of_another_image_size(folder):
    name = "vit_tiny_patch16_224"
    torch.save(timm.create_model(name, num_classes=1000).state_dict(), folder / f"{name}.pth")
    settings = {"encoder_name": f"tu-{name}", "encoder_weights": "imagenet"}
    node = {"class_path": "segmentation_models_pytorch.DPT", "init_args": settings, "dict_kwargs": {"img_size": 64}}
    network = build_node(node)
    assert network.encoder.model.pos_embed.shape[1] == 4 * 4 + 1
    assert expected_statistics(network) == ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize("class_path", ["timm.create_model", "timm.models.resnet18"])
def test_networks_of_timm(class_path, folder):
    state = save(timm.create_model("resnet18"), folder / "resnet18.pth")
    name = {"model_name": "resnet18"} if class_path == "timm.create_model" else {}
    settings = {"init_args": name | {"pretrained": True}, "dict_kwargs": {"num_classes": 7}}
    network = build_node({"class_path": class_path} | settings)
    assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert network.fc.weight.shape[0] == 7
    (loaded,) = loaded_weights(network)
    assert loaded.random == ["fc"]


def test_a_file_that_the_config_itself_names_for_timm_is_left_to_timm(folder):
    state = save(timm.create_model("resnet18", num_classes=7), folder / "mine.pth")
    overlay = {"file": str(folder / "mine.pth"), "num_classes": 7}
    settings = {"model_name": "resnet18", "pretrained": True, "pretrained_cfg_overlay": overlay}
    network = build_node({"class_path": "timm.create_model", "init_args": settings, "dict_kwargs": {"num_classes": 7}})
    assert torch.equal(network.fc.weight, state["fc.weight"])


DETECTION = "torchvision.models.detection"


def test_detectors_get_the_weights_of_their_backbone_and_keep_their_layers_without(folder):
    state = save(torchvision.models.resnet50(), folder / "resnet50-0676ba61.pth")
    settings = {"weights": None, "weights_backbone": "IMAGENET1K_V1", "num_classes": 2}
    network = build_node({"class_path": f"{DETECTION}.retinanet_resnet50_fpn", "init_args": settings})
    assert torch.equal(network.backbone.body.layer4[2].conv3.weight, state["layer4.2.conv3.weight"])
    assert isinstance(network.backbone.body.bn1, FrozenBatchNorm2d)
    (loaded,) = loaded_weights(network)
    assert (loaded.encoder, loaded.matched, loaded.random) == ("resnet50", 267, [])
    # A run with these weights can be loaded again: torchvision freezes norms only in networks with pretrained weights.
    (folder / "resnet50-0676ba61.pth").unlink()
    again = build_node({"class_path": f"{DETECTION}.retinanet_resnet50_fpn", "init_args": settings}, pretrained=False)
    again.load_state_dict(network.state_dict())
    trained = [[p.requires_grad for p in one.parameters()] for one in (network, again)]
    assert trained[0] == trained[1]
    assert not loaded_weights(again)


@pytest.mark.parametrize(
    ("name", "backbone", "file", "key", "mean"),
    [
        ("ssdlite320_mobilenet_v3_large", "mobilenet_v3_large", "mobilenet_v3_large.pth", "features.0.0.weight", 0.485),
        pytest.param(
            *("ssd300_vgg16", "vgg16", "vgg16_features-amdegroot-88682ab5.pth", "features.0.weight", 0.48235),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_backbones_that_torchvision_takes_apart(name, backbone, file, key, mean, folder):
    state = save(torchvision.models.get_model(backbone), folder / file)
    network = build_node({"class_path": f"{DETECTION}.{name}", "init_args": {"num_classes": 3}})
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    assert torch.equal(first.weight, state[key])
    assert expected_statistics(network)[0][0] == pytest.approx(mean)


def test_a_whole_detector(folder):
    kept = torchvision.models.get_model("ssdlite320_mobilenet_v3_large", weights_backbone=None)
    state = save(kept, folder / "ssdlite320_mobilenet_v3_large.pth")
    network = build_node(
        {"class_path": f"{DETECTION}.ssdlite320_mobilenet_v3_large", "init_args": {"weights": "DEFAULT"}}
    )
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert expected_statistics(network) == ([0.5] * 3, [0.5] * 3)  # its own transform, not ImageNet


@pytest.mark.parametrize(
    ("class_path", "arguments", "file"),
    [
        (UNET, {"encoder_name": "resnet18", "encoder_weights": "imagenet"}, "resnet18"),
        (UNET, {"encoder_name": "tu-convnext_atto", "encoder_weights": "imagenet"}, "convnext_atto"),
        ("networks.AlbuNet", {"encoder_name": "resnet18", "encoder_weights": "imagenet"}, "resnet18"),
        ("networks.ImageClassifier", {"encoder": "resnet18", "classes": 2, "pretrained": True}, "resnet18"),
        ("timm.create_model", {"model_name": "resnet18", "pretrained": True}, "resnet18"),
        ("torchvision.models.resnet18", {"weights": "DEFAULT"}, "resnet18"),
        (f"{DETECTION}.retinanet_resnet50_fpn", {"num_classes": 2}, "resnet50"),
    ],
)
def test_without_a_file_one_line_names_it_and_nothing_is_tried_twice(class_path, arguments, file, folder, no_network):
    node = {"class_path": class_path, "init_args": arguments}
    with pytest.raises(OSError, match=rf"no weights of {file} in .*Bring {file}\.safetensors") as raised:
        build_node(node)
    assert "\n" not in str(raised.value)
    assert len(no_network) == 1
    build_node(node, pretrained=False)
    assert len(no_network) == 1


FAST = ["resnet18", "timm-efficientnet-b0", "dpn68"]
HUGE = ("l2", "b6", "b7", "b8", "32x16", "32x32", "32x48")
OTHERS = [name for name in smp.encoders.get_encoder_names() if name not in FAST and not name.endswith(HUGE)]


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_own_encoders_of_smp_take_the_files_of_all_libraries(name, folder):
    """Weights of smp's own layout come back; those of timm and torchvision have the same layers."""
    encoder = smp.encoders.get_encoder(name, weights=None)
    sources = [smp.encoders.get_encoder(name, weights=None)]
    if same_in_timm(name):
        sources.append(timm.create_model(same_in_timm(name)))
    if name in torchvision.models.list_models(module=torchvision.models):
        sources.append(torchvision.models.get_model(name))
    for number, source in enumerate(sources):
        state = save(source, folder / f"{number}.pth")
        load_encoder(encoder, folder / f"{number}.pth", name)
        assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items() if key in state)
        assert encoder.loaded_weights.matched == encoder.loaded_weights.total


def test_files_of_densenets_in_the_names_of_torchvision(folder):
    state = torchvision.models.densenet121().state_dict()
    former = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
    assert set(former) != set(state)
    torch.save(former, folder / "densenet121-a639ec97.pth")
    network = build(UNET, encoder_name="densenet121", encoder_weights="imagenet")
    assert all(torch.equal(value, state[key]) for key, value in network.encoder.state_dict().items())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_real_weights_give_the_features_of_timm_in_every_network(number, lite_weights, monkeypatch, no_network):
    monkeypatch.setenv("WEIGHTS_DIR", str(lite_weights))
    name = f"tf_efficientnet_lite{number}"
    state = torch.load(lite_weights / f"{name}.pth", weights_only=True)
    whole = timm.create_model(name)
    whole.load_state_dict(state, strict=True)
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.eval().forward_features(image)
        made = build("networks.ImageClassifier", encoder=name, classes=2, pretrained=True).eval()
        torch.testing.assert_close(made.encoder.forward_features(image), expected)
        network = build(UNET, encoder_name=f"tu-{name}", encoder_weights="imagenet").eval()
        assert expected_statistics(network) == ([0.5] * 3, [0.5] * 3)
        overlay = {"state_dict": dict(state)}
        reference = timm.create_model(name, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay).eval()
        for one, other in zip(network.encoder(image)[1:], reference(image), strict=True):
            torch.testing.assert_close(one, other)
    # smp's own encoder of that name has the same layers, but other padding and another epsilon in its norms.
    own = build(UNET, encoder_name=f"timm-{name}", encoder_weights="imagenet").encoder
    assert all(torch.equal(value, state[key]) for key, value in own.state_dict().items())

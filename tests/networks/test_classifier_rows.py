"""Every classification architecture of the tips, from its YAML line: sizes, channels, a step, a round trip.

The small ones run each time. The huge ones run one after the other with `-m slow`; what they share with the small ones
is all of their code but timm's own.
"""

import copy
import gc
import io

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import nn

IMAGE = "networks.ImageClassifier"
SMALL = "tf_mobilenetv3_small_minimal_100"
# tip, class, arguments; channels and sizes are added
ROWS = [
    ("M06", IMAGE, f"{{encoder: {SMALL}, pooling: max}}"),
    ("M06 both", IMAGE, f"{{encoder: {SMALL}, pooling: catavgmax, head: [64], head_norm: true, dropout: [0.25, 0.5]}}"),
    ("M10", IMAGE, f"{{encoder: {SMALL}, pooling: gem}}"),
    ("M14", IMAGE, f"{{encoder: {SMALL}, head: [1024, 512], dropout: 0.5}}"),
    ("M21", "networks.BnInception", "{pooling: gem}"),
    ("M31", "networks.GapNet", "{encoder: resnet18}"),
    ("M33", IMAGE, "{encoder: densenet121}"),
    ("M23 stand-in", IMAGE, "{encoder: seresnext26t_32x4d}"),
]
# tip, arguments, sizes: native and 224
HUGE = [
    ("M03", "{encoder: inception_resnet_v2}", (224, 299)),
    ("M11", "{encoder: nasnetalarge, pretrained: false}", (224, 331)),
    ("M13", "{encoder: resnet152}", (224, 160)),
    ("M16", "{encoder: vgg16}", (224, 256)),
    ("M16 norm", "{encoder: vgg16_bn}", (224, 256)),
    ("M23", "{encoder: se_resnext50_32x4d}", (224, 128)),
    ("M23 101", "{encoder: se_resnext101_32x4d}", (224, 128)),
    ("M26", "{encoder: senet154}", (224, 128)),
    ("M27", "{encoder: resnet152, pooling: gem}", (224, 128)),
    ("M28", "{encoder: nasnetalarge, pooling: catavgmax}", (224, 331)),
    ("M29", "{encoder: tf_efficientnet_b4}", (224, 380)),
    ("M30", "{encoder: resnet101}", (224, 128)),
    ("M32", "{encoder: pnasnet5large}", (224, 331)),
    ("X xception", "{encoder: xception}", (224, 299)),
]


def build(class_path: str, arguments: str, channels: int = 3, classes: int = 3) -> nn.Module:
    """The network of a YAML line, as `model.network` is parsed."""
    given = yaml.safe_load(arguments) | {"in_channels": channels, "classes": classes}
    return parsed({"class_path": class_path, "init_args": given})


def parsed(config: dict) -> nn.Module:
    """What jsonargparse makes of `model.network`."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(nn.Module, "network")
    return parser.instantiate_classes(parser.parse_object({"network": config})).network


def step_lowers_the_loss(network: nn.Module, images: torch.Tensor, rate: float = 1e-3) -> None:
    """One step of gradient descent along the loss's own gradient, without dropout and moving statistics."""
    network.eval()
    labels = torch.arange(len(images)) % 3
    before = nn.functional.cross_entropy(network(images), labels)
    before.backward()
    with torch.no_grad():
        size = sum(p.grad.square().sum() for p in network.parameters() if p.grad is not None).sqrt()
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad / size
                parameter.grad = None
        after = nn.functional.cross_entropy(network(images), labels)
    assert torch.isfinite(after)
    assert after < before


def round_trip(network: nn.Module, other: nn.Module, images: torch.Tensor) -> None:
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    content.seek(0)
    other.load_state_dict(torch.load(content, weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(images), network.eval()(images))


@pytest.mark.parametrize(("tip", "class_path", "arguments"), ROWS, ids=[row[0] for row in ROWS])
def test_rows(tip, class_path, arguments):
    if class_path.endswith("BnInception"):
        pytest.importorskip("pretrainedmodels")
    torch.manual_seed(0)
    for channels in (1, 4, 9):
        with torch.no_grad():
            assert build(class_path, arguments, channels).eval()(torch.randn(1, channels, 64, 96)).shape == (1, 3)
    network = build(class_path, arguments)
    images = torch.randn(3, 3, 64, 64)
    network.train()(images)  # a step of moving statistics
    step_lowers_the_loss(network, images)
    round_trip(network, build(class_path, arguments), images)
    with torch.no_grad():
        assert network(torch.randn(2, 3, 96, 128)).shape == (2, 3)


SIAMESE = """
class_path: networks.Siamese
init_args:
  branch: {class_path: networks.ImageClassifier, init_args: {encoder: %s, classes: 0, in_channels: %d, pooling: max}}
"""
NODULES = """
class_path: networks.SlidingCubes
init_args:
  network: {class_path: networks.C3D, init_args: {in_channels: %d, outputs: {nodule: 1}}}
  size: 32
  stride: 16
"""


@pytest.mark.parametrize("channels", [1, 3, 4, 9])
def test_siamese_row(channels):
    torch.manual_seed(0)
    network = parsed(yaml.safe_load(SIAMESE % (SMALL, channels))).eval()
    for size in [(64, 64), (50, 70)]:
        assert network(*torch.randn(2, 2, channels, *size)).shape == (2, 1)
    if channels == 3:
        image, other = torch.randn(2, 4, 3, 64, 64)
        same = torch.tensor([[1.0], [0], [1], [0]])

        def loss() -> torch.Tensor:
            return nn.functional.binary_cross_entropy_with_logits(network(image, other), same)

        before = loss()
        before.backward()
        with torch.no_grad():
            size = sum(p.grad.square().sum() for p in network.parameters()).sqrt()
            for parameter in network.parameters():
                parameter -= 1e-3 * parameter.grad / size
            assert loss() < before
        again = parsed(yaml.safe_load(SIAMESE % (SMALL, 3))).eval()
        again.load_state_dict(network.state_dict())
        with torch.no_grad():
            assert torch.equal(again(image, other), network(image, other))


@pytest.mark.parametrize("channels", [1, 3, 4, 9])
def test_nodule_row(channels):
    torch.manual_seed(0)
    network = parsed(yaml.safe_load(NODULES % channels)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, channels, 32, 32, 32)).shape == (1, 1)
    if channels == 1:
        with torch.no_grad():
            assert network(torch.randn(1, 1, 32, 48, 32)).shape == (1, 1, 2, 3, 2)
        cubes, label = torch.randn(2, 1, 32, 32, 32), torch.tensor([[1.0], [0]])
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)  # as he trained it
        losses = []
        for _ in range(4):
            loss = nn.functional.binary_cross_entropy_with_logits(network(cubes), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize(("tip", "arguments", "sizes"), HUGE, ids=[row[0] for row in HUGE])
@pytest.mark.filterwarnings("ignore:encoder .* is replaced by timm's")
def test_huge_rows(tip, arguments, sizes):
    torch.manual_seed(0)
    for channels in (1, 4, 9):
        network = build(IMAGE, arguments, channels).eval()
        with torch.no_grad():
            assert network(torch.randn(1, channels, sizes[0], sizes[0])).shape == (1, 3)
        del network
        gc.collect()
    network = build(IMAGE, arguments).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, sizes[1], sizes[1])).shape == (1, 3)
    images = torch.randn(2, 3, 96, 96)
    step_lowers_the_loss(network, images)
    round_trip(network, copy.deepcopy(network), images)


@pytest.mark.slow
def test_huge_encoders_inside_a_unet():
    """The same backbones as encoders of smp: EfficientNet-B4 (SIIM, 31st place) and NASNet at 224."""
    import segmentation_models_pytorch as smp

    for name in ("efficientnet-b4", "tu-nasnetalarge", "tu-pnasnet5large"):
        network = smp.Unet(name, encoder_weights=None, classes=1, in_channels=3).eval()
        with torch.no_grad():
            assert network(torch.randn(1, 3, 224, 224)).shape == (1, 1, 224, 224), name
        del network
        gc.collect()

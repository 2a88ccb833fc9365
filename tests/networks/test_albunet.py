"""M36: AlbuNet34, equal to the published network from its own checkpoint."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet34

from networks import AlbuNet
from networks.albunet import from_published

# block -> channels in, in the middle, out; of num_filters 32 and the ResNet34's 64, 128, 256, 512
BLOCKS = {
    "center": (512, 512, 256),
    "dec5": (512 + 256, 512, 256),
    "dec4": (256 + 256, 512, 256),
    "dec3": (128 + 256, 256, 64),
    "dec2": (64 + 64, 128, 128),
    "dec1": (128, 128, 32),
}


def published(transpose: bool) -> dict[str, torch.Tensor]:
    """A checkpoint with the keys of ternaus/TernausNet, the encoder twice."""
    random = torch.Generator().manual_seed(0)
    state = {f"encoder.{key}": value for key, value in resnet34(weights=None).state_dict().items()}
    stages = {"conv2": "layer1", "conv3": "layer2", "conv4": "layer3", "conv5": "layer4"}
    for twice, layer in stages.items():
        prefix = f"encoder.{layer}."
        state |= {f"{twice}.{key[len(prefix) :]}": value for key, value in state.items() if key.startswith(prefix)}
    state |= {"conv1.0.weight": state["encoder.conv1.weight"], "conv1.1.weight": state["encoder.bn1.weight"]}

    def add(key: str, *shape: int) -> None:
        state[f"{key}.weight"] = torch.randn(*shape, generator=random) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        state[f"{key}.bias"] = torch.randn(shape[1] if transpose and key.endswith("block.1") else shape[0]) * 0.1

    for name, (into, middle, out) in BLOCKS.items():
        if transpose:
            add(f"{name}.block.0.conv", middle, into, 3, 3)
            add(f"{name}.block.1", middle, out, 4, 4)
        else:
            add(f"{name}.block.1.conv", middle, into, 3, 3)
            add(f"{name}.block.2.conv", out, middle, 3, 3)
    add("dec0.conv", 32, 32, 3, 3)
    add("final", 1, 32, 1, 1)
    return {f"module.{key}": value for key, value in state.items()}


def reference(state: dict[str, torch.Tensor], image: torch.Tensor, transpose: bool) -> torch.Tensor:
    """The published network written with functions alone."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    encoder = resnet34(weights=None).eval()
    encoder.load_state_dict({key[8:]: value for key, value in state.items() if key.startswith("encoder.")})

    def conv(value: torch.Tensor, key: str) -> torch.Tensor:
        return F.relu(F.conv2d(value, state[f"{key}.weight"], state[f"{key}.bias"], padding=1))

    def block(value: torch.Tensor, name: str) -> torch.Tensor:
        if transpose:
            value = conv(value, f"{name}.block.0.conv")
            weight, bias = state[f"{name}.block.1.weight"], state[f"{name}.block.1.bias"]
            return F.relu(F.conv_transpose2d(value, weight, bias, stride=2, padding=1))
        value = F.interpolate(value, scale_factor=2, mode="bilinear", align_corners=False)
        return conv(conv(value, f"{name}.block.1.conv"), f"{name}.block.2.conv")

    first = F.max_pool2d(F.relu(encoder.bn1(encoder.conv1(image))), 2)
    two = encoder.layer1(first)
    three = encoder.layer2(two)
    four = encoder.layer3(three)
    five = encoder.layer4(four)
    value = block(F.max_pool2d(five, 2), "center")
    for name, skip in (("dec5", five), ("dec4", four), ("dec3", three), ("dec2", two)):
        value = block(torch.cat([value, skip], 1), name)
    value = conv(block(value, "dec1"), "dec0.conv")
    return F.conv2d(value, state["final.weight"], state["final.bias"])


@pytest.mark.parametrize("transpose", [False, True])
def test_a_published_checkpoint_loads_by_its_names_and_gives_the_published_masks(transpose):
    state = published(transpose)
    network = AlbuNet(transpose=transpose).eval()
    network.load_state_dict(from_published(state))  # strict: no name too many, none too few
    image = torch.randn(1, 3, 64, 128)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(state, image, transpose), rtol=1e-3, atol=1e-4)


def test_sides_that_are_no_multiple_of_64():
    network = AlbuNet("resnet18", num_filters=4, classes=2).eval()
    for size in ((65, 47), (32, 32), (96, 224)):
        assert network(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_an_encoder_that_is_no_resnet_is_refused():
    with pytest.raises(ValueError, match="encoder_name is 'tu-convnext_atto', but AlbuNet .* use resnet18"):
        AlbuNet("tu-convnext_atto")

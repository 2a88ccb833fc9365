"""T17: the U-Net of the paper."""

import pytest
import torch

from networks import VanillaUnet
from networks.vanilla_unet import _mirror


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 31_037_633),
        ({"norm": False}, 31_031_745),
        ({"norm": False, "in_channels": 1, "classes": 2}, 31_030_658),
        ({"norm": False, "in_channels": 1, "classes": 2, "valid": True}, 31_030_658),
    ],
)
def test_parameters(arguments, parameters):
    with torch.device("meta"):
        network = VanillaUnet(**arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_sizes_of_the_papers_figure():
    """572 -> 388 through 570, 568 … as it is drawn there."""
    network, sides = VanillaUnet(1, 2, [2, 2, 2, 2, 2], norm=False, valid=True).eval(), []
    for level in [*network.down, *list(network.merge)[::-1]]:
        level.register_forward_hook(
            lambda module, inputs, output: sides.append((inputs[0].shape[-1], output.shape[-1]))
        )
    assert network(torch.zeros(1, 1, 388, 388)).shape == (1, 2, 388, 388)
    down = [(572, 568), (284, 280), (140, 136), (68, 64), (32, 28)]
    assert sides == [*down, (56, 52), (104, 100), (200, 196), (392, 388)]


@pytest.mark.parametrize("size", [(388, 388), (50, 33), (1, 7), (200, 201)])
def test_mirrored_margins(size):
    image = torch.randn(1, 2, *size)
    wide = _mirror(image)
    assert all((side - 60) % 16 == 0 and side - 184 >= want for side, want in zip(wide.shape[2:], size, strict=True))
    assert torch.equal(wide[..., 92 : 92 + size[0], 92 : 92 + size[1]], image)
    for axis, side in ((2, size[0]), (3, size[1])):
        near = min(side - 1, 92)
        before = wide.narrow(axis, 92 - near, near).flip(axis)
        assert torch.equal(before, wide.narrow(axis, 93, near))


def test_no_pixel_of_a_valid_mask_has_seen_zeros():
    """A constant image gives a constant mask only where no padding comes in."""
    torch.manual_seed(0)
    image = torch.ones(1, 3, 64, 48)
    constant = VanillaUnet(3, 1, [4, 4, 4, 4, 4], norm=False, valid=True).eval()(image)
    padded = VanillaUnet(3, 1, [4, 4, 4, 4, 4], norm=False).eval()(image)
    corner = constant[..., :16, :16]  # transposed convolutions repeat a pattern of 16
    assert torch.allclose(constant, corner.tile(1, 1, 4, 3), atol=1e-5)
    assert not torch.allclose(padded, padded[..., :16, :16].tile(1, 1, 4, 3), atol=1e-5)


def test_valid_convolutions_of_another_depth_are_refused():
    with pytest.raises(ValueError, match="channels has 3 levels, expected 5 with valid convolutions"):
        VanillaUnet(channels=[8, 16, 32], valid=True)
    assert VanillaUnet(channels=[8, 16, 32]).eval()(torch.zeros(1, 3, 33, 50)).shape == (1, 1, 33, 50)

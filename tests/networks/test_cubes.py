"""Cubes slid over volumes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from inference import Inference
from networks.c3d import C3D
from networks.cubes import SlidingCubes


class Detector(nn.Module):
    """Whether there is a bright ball in the middle of a cube: its correlation with one."""

    def __init__(self, size: int = 16, radius: float = 3.0) -> None:
        super().__init__()
        axis = torch.arange(size) - (size - 1) / 2
        distance = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
        ball = (distance <= radius).float()
        self.register_buffer("kernel", (ball - ball.mean())[None, None] / ball.sum())

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        return F.conv3d(cubes, self.kernel)


def test_every_value_is_what_the_network_says_to_that_cube():
    network = C3D(outputs={"nodule": 1, "malignancy": 2}).eval()
    sliding = SlidingCubes(network, size=32, stride=16, batch_size=3).eval()
    volumes = torch.randn(2, 1, 32, 48, 32)
    with torch.no_grad():
        nodule, malignancy = sliding(volumes)
        assert (nodule.shape, malignancy.shape) == ((2, 1, 2, 3, 2), (2, 2, 2, 3, 2))
        padded = F.pad(volumes, [8] * 6, mode="replicate")
        for z, y, x in [(0, 0, 0), (1, 2, 1), (0, 1, 1)]:
            cube = padded[:, :, 16 * z : 16 * z + 32, 16 * y : 16 * y + 32, 16 * x : 16 * x + 32]
            one, two = network(cube)
            torch.testing.assert_close(nodule[..., z, y, x], one, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(malignancy[..., z, y, x], two, atol=1e-4, rtol=1e-4)


def test_cubes_themselves_go_through_as_they_are():
    sliding = SlidingCubes(Detector(), size=16, stride=4)
    cubes = torch.randn(3, 1, 16, 16, 16)
    torch.testing.assert_close(sliding(cubes), sliding.network(cubes).flatten(1))


def test_a_network_without_padding_gives_the_dense_convolution():
    detector = Detector()
    volume = torch.randn(1, 1, 32, 36, 40)
    dense = F.conv3d(F.pad(volume, [6, 6] * 3, mode="replicate"), detector.kernel, stride=4)
    torch.testing.assert_close(SlidingCubes(detector, 16, 4)(volume), dense, atol=1e-5, rtol=1e-4)


def test_planted_balls_are_found_where_they_are():
    """Through the inference of volumes, in tiles, as prediction does it."""
    random = torch.Generator().manual_seed(0)
    volume = 0.1 * torch.randn(1, 1, 64, 72, 80, generator=random)
    planted = [(20, 24, 30), (45, 50, 60), (40, 12, 14)]
    axes = torch.meshgrid(*(torch.arange(side) for side in volume.shape[2:]), indexing="ij")
    for centre in planted:
        distance = sum((axis - place) ** 2 for axis, place in zip(axes, centre, strict=True)).sqrt()
        volume[0, 0][distance <= 3] += 1
    sliding = SlidingCubes(Detector(), size=16, stride=4).eval()
    inference = Inference(tile=[32, 40, 40], overlap=0.5, stride=4)
    found = inference(lambda cubes: {"nodule": (sliding(cubes) - 0.2) * 20}, volume)["nodule"][0, 0]
    assert found.shape == volume.shape[2:]
    for centre in planted:
        around = tuple(slice(max(0, place - 6), place + 7) for place in centre)
        part = found[around]
        assert part.max() > 0
        peak = torch.stack(torch.where(part == part.max())).float().mean(1)
        place = torch.tensor([float(max(0, c - 6)) for c in centre]) + peak
        assert (place - torch.tensor([float(c) for c in centre])).abs().max() <= 4
        found[tuple(slice(max(0, place - 10), place + 11) for place in centre)] = -1
    assert (found <= 0).all()


def test_the_detector_of_nodules_learns_to_find_them():
    """Trained on cubes, applied to a volume: a small network of the same kind."""
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveMaxPool3d(1), nn.Conv3d(16, 1, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(40):
        cubes, label = 0.2 * torch.randn(16, 1, 8, 8, 8), torch.arange(16) % 2
        cubes[1::2, :, 3:5, 3:5, 3:5] += 1
        cubes[::2, :, 3:4, 3:4, 3:4] += 1  # a bright voxel is no ball
        loss = F.binary_cross_entropy_with_logits(network(cubes).flatten(), label.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    volume = 0.2 * torch.randn(1, 1, 32, 32, 32)
    volume[..., 20:22, 8:10, 14:16] += 1
    volume[..., 10, 25, 25] += 1
    with torch.no_grad():
        found = SlidingCubes(network.eval(), size=8, stride=2)(volume).sigmoid()[0, 0]
    seen = set(map(tuple, torch.nonzero(found > 0.5).tolist()))
    assert seen
    assert all(abs(2 * z + 0.5 - 20.5) <= 5 and abs(2 * y + 0.5 - 8.5) <= 5 for z, y, x in seen)
    assert found[10, 4, 7] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8, "stride": 12}, "stride 12 is above size 8"),
        ({"size": [8, 8], "stride": 4}, "expected one number or three each"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlidingCubes(nn.Identity(), **arguments)


def test_volumes_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"\(32, 33, 32\) voxels, expected multiples of the stride \(4, 4, 4\).*inference"
    ):
        SlidingCubes(Detector(), 16, 4)(torch.randn(1, 1, 32, 33, 32))
    with pytest.raises(ValueError, match="set `size` to the size of its training cubes"):
        SlidingCubes(Detector(), 20, 4)(torch.randn(1, 1, 20, 20, 20))

"""The 3-D network of nodules."""

import pytest
import torch

from losses import LossFormula
from networks.c3d import C3D


def test_the_table_of_shapes():
    network, shapes = C3D(), {}
    for name, module in network.trunk.named_children():
        module.register_forward_hook(lambda m, i, output, name=name: shapes.update({name: tuple(output.shape[1:])}))
    network.bottleneck.register_forward_hook(lambda m, i, output: shapes.update(last=tuple(output.shape[1:])))
    nodule, malignancy = network(torch.randn(2, 1, 32, 32, 32))
    assert nodule.shape == malignancy.shape == (2, 1)
    assert shapes["shrink"] == (1, 16, 32, 32)
    assert [shapes[f"pool{number}"] for number in (1, 2, 3, 4)] == [
        (64, 16, 16, 16),
        (128, 8, 8, 8),
        (256, 4, 4, 4),
        (512, 2, 2, 2),
    ]
    assert shapes["last"] == (64, 1, 1, 1)
    convolutions = {1: 64, 64: 128, 128: 256, 512: 512}
    assert (
        convolutions.items() <= {m.in_channels: m.out_channels for m in network.trunk if hasattr(m, "weight")}.items()
    )


def test_larger_volumes_give_a_grid_in_every_direction():
    network = C3D(in_channels=2, outputs={"nodule": 1}).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 2, 64, 64, 64)).shape == (1, 1, 3, 3, 3)
        assert network(torch.randn(1, 2, 32, 48, 64)).shape == (1, 1, 1, 2, 3)
        assert network.features(torch.randn(1, 2, 32, 32, 32)).shape == (1, 64)
    with pytest.raises(ValueError, match=r"the volume has \(16, 32, 32\) voxels, expected 32 or more along each axis"):
        network(torch.randn(1, 2, 16, 32, 32))


def test_values_inside_do_not_depend_on_what_lies_beyond_their_field():
    """A convolution over the whole volume and over a part of it agree where no border is seen."""
    network = C3D(outputs={"nodule": 1}).double().eval()
    volume = torch.randn(1, 1, 32, 128, 32, dtype=torch.float64)
    reach = 32  # voxels beyond a cube that its padded layers look at (27), rounded up to the grid
    with torch.no_grad():
        whole = network(volume)
        part = network(volume[:, :, :, :96])
    places = (96 - reach) // 16 - 1
    torch.testing.assert_close(part[:, :, :, :places], whole[:, :, :, :places])
    assert not torch.allclose(part[:, :, :, -1], whole[:, :, :, part.shape[3] - 1])


def test_both_heads_get_gradients_and_negatives_may_be_left_out():
    network = C3D()
    outputs = dict(zip(("nodule", "malignancy"), network(torch.randn(4, 1, 32, 32, 32)), strict=True))
    truth = {"nodule": torch.tensor([[1.0], [0], [0], [0]]), "malignancy": torch.tensor([[4.0], [0], [0], [0]])}
    formula = LossFormula("bce(nodule) + l1(malignancy, positives=true)")
    total, parts = formula({name: value for name, value in outputs.items()}, truth)
    total.backward()
    for head in network.heads.values():
        assert head.weight.grad.abs().sum() > 0
    assert network.trunk.conv1a.weight.grad.abs().sum() > 0
    # only the nodule's own malignancy counts
    alone = (outputs["malignancy"][0] - 4).abs()
    torch.testing.assert_close(parts["l1(malignancy, positives=true)"], alone.squeeze().detach())
    plain, _ = LossFormula("l1(malignancy)")(outputs, truth)
    torch.testing.assert_close(plain, (outputs["malignancy"] - truth["malignancy"]).abs().mean())


def test_dropout_after_the_last_three_pools():
    names = [name for name, _ in C3D(dropout=0.3).trunk.named_children() if name.startswith("drop")]
    assert names == ["drop2", "drop3", "drop4"]
    with pytest.raises(ValueError, match="outputs is {}"):
        C3D(outputs={})

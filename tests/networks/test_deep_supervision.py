"""M01: 3-D networks of MONAI by their class paths, in the same LightningModule as 2-D ones."""

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from benchmarks.networks import ANISOTROPIC, build
from lightning_modules import BaseModule
from networks import unstack_deep_supervision

pytest.importorskip("monai", reason="MONAI is not installed: pip install -e .[monai]")
KERNELS, STRIDES = ANISOTROPIC["kernel_size"], ANISOTROPIC["strides"]
DYNUNET = {
    "class_path": "monai.networks.nets.DynUNet",
    "init_args": ANISOTROPIC | {"filters": [8, 8, 16, 16]},
}
NETWORKS = {
    "UNet": {
        "class_path": "monai.networks.nets.UNet",
        "init_args": {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 1,
            "channels": [8, 16, 16],
            "strides": [2, 2],
        },
    },
    "SegResNet": {
        "class_path": "monai.networks.nets.SegResNet",
        "init_args": {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "init_filters": 8},
    },
    "DynUNet": {"class_path": "networks.unstack_deep_supervision", "init_args": {"network": DYNUNET}},
}


def module_of(network: dict) -> BaseModule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=BaseModule)
    inference = {
        "class_path": "inference.Inference",
        "init_args": {"tile": [16, 32, 32], "overlap": 0.5, "stride": 8},
    }
    arguments = {"network": network, "outputs": ["mask"], "loss": "bce(mask) + dice(mask)", "inference": inference}
    model = {
        "class_path": "lightning_modules.SegmentationModule",
        "init_args": arguments | {"mean": 0.5, "std": 0.25, "input_range": 1},
    }
    return parser.instantiate(parser.parse_object({"model": model})).model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_and_a_prediction_of_a_volume_of_any_size(name):
    torch.manual_seed(0)
    module = module_of(NETWORKS[name]).train()
    volumes = torch.rand(2, 1, 16, 32, 32)
    batch = {"image": volumes, "mask": (volumes > 0.5).to(torch.uint8)}
    outputs = module(*module.network_inputs(batch))
    total, parts = module.loss(outputs, batch)
    total.backward()
    assert total.isfinite()
    assert list(parts) == ["bce(mask)", "dice(mask)"]
    assert any(
        parameter.grad.abs().sum() > 0 for parameter in module.network.parameters() if parameter.grad is not None
    )
    assert module.eval().predict_image([torch.rand(1, 19, 40, 37)])["mask"].shape == (1, 19, 40, 37)


def test_anisotropic_kernels_and_strides_are_taken():
    """Thick slices: the first levels neither look nor halve across them."""
    network = build(DYNUNET).eval()
    first = [module for module in network.input_block.modules() if isinstance(module, nn.Conv3d)]
    assert {conv.kernel_size for conv in first} == {tuple(KERNELS[0])}
    shapes = []
    for block in (network.input_block, *network.downsamples, network.bottleneck):
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[2:])))
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 16, 32, 32)).shape == (1, 1, 16, 32, 32)
    expected, size = [], [16, 32, 32]
    for stride in STRIDES:
        size = [side // step for side, step in zip(size, stride, strict=True)]
        expected.append(tuple(size))
    assert shapes == expected == [(16, 32, 32), (16, 16, 16), (8, 8, 8), (4, 4, 4)]


def test_shapes_of_its_deep_supervision_and_the_list_of_it():
    torch.manual_seed(0)
    network, volume = build(DYNUNET).train(), torch.randn(1, 1, 16, 32, 32)
    stacked = network(volume)
    assert stacked.shape == (1, 3, 1, 16, 32, 32)  # the finest and the two of deep_supr_num
    names = list(network.state_dict())
    levels = unstack_deep_supervision(network)(volume)
    assert isinstance(levels, list)
    assert [tuple(level.shape) for level in levels] == [(1, 1, 16, 32, 32)] * 3
    torch.testing.assert_close(torch.stack(levels, dim=1), stacked)
    assert list(network.state_dict()) == names
    assert network.eval()(volume).shape == (1, 1, 16, 32, 32)

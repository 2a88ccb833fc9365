"""What holds for every architecture: built from its YAML, any channels and sizes, trains, and is saved and loaded."""

import io

import pytest
import torch
from torch import Tensor, nn

from benchmarks.networks import SEGMENTATION, Architecture, build
from inference import Inference
from lightning_modules.outputs import name_outputs
from losses import LossFormula

# The same decoders over small encoders; every row as it stands is built by the slow test.
ENCODER = "tu-tf_mobilenetv3_small_minimal_100"
SMALL = {
    "networks.VanillaUnet": {"channels": [8, 16, 16, 32, 32]},
    "networks.EMANet": {"channels": 64},
    "networks.DilatedUnet": {"bottleneck_channels": 32},
    "networks.AlbuNet": {"num_filters": 8, "encoder_name": "resnet18"},
    "networks.SelimUnet": {"decoder_channels": [8, 16, 32, 32]},
    "networks.SideUnet": {"decoder_channels": [32, 32, 16, 16, 16]},
    "networks.HypercolumnUnet": {"decoder_channels": [32, 32, 16, 16, 8], "head_channels": 16},
    "segmentation_models_pytorch.DPT": {
        "encoder_name": "tu-vit_tiny_patch16_224",
        "decoder_intermediate_channels": [16, 16, 32, 32],
        "decoder_fusion_channels": 16,
    },
    "monai.networks.nets.UNet": {"channels": [8, 16, 16], "strides": [2, 2]},
    "monai.networks.nets.SegResNet": {"init_filters": 8},
}
PAN = [(128, 128), (128, 192)]  # it pools features at 1/16 three times
SIZES = [(64, 96), (96, 64)]
VOLUMES = [(16, 32, 32), (16, 32, 48)]
DYNUNET = {"filters": [8, 8, 16, 16]}


def small(row: Architecture) -> dict:
    arguments = dict(SMALL.get(row.class_path, {}))
    if "encoder_name" in row.init_args and "encoder_name" not in arguments:
        arguments["encoder_name"] = ENCODER
    if row.class_path == "networks.unstack_deep_supervision":
        inner = row.init_args["network"]
        arguments["network"] = inner | {"init_args": inner["init_args"] | DYNUNET}
    if row.class_path.endswith("PAN"):
        arguments["encoder_output_stride"] = 16
    return row.config(**arguments)


def sizes_of(row: Architecture) -> list[tuple[int, ...]]:
    if len(row.shape) == 4:
        return VOLUMES
    return PAN if row.class_path.endswith("PAN") else SIZES


def with_channels(config: dict, channels: int) -> dict:
    if config["class_path"] == "networks.unstack_deep_supervision":
        return config | {"init_args": {"network": with_channels(config["init_args"]["network"], channels)}}
    return config | {"init_args": config["init_args"] | {"in_channels": channels}}


def classes_of(config: dict) -> int:
    arguments = config["init_args"].get("network", config).get("init_args", {})
    return arguments.get("classes", arguments.get("out_channels", 1))


def once(rows: list[Architecture]) -> list:
    """Rows that differ in their encoders alone are one here."""
    found = {repr(small(row)): row for row in reversed(rows)}
    return [pytest.param(row, id=f"{row.tip} {row.name}".strip()) for row in reversed(found.values())]


def finest(output: Tensor | tuple | list) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def quiet(network: nn.Module) -> nn.Module:
    """Without dropout: two passes over one batch see the same network."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.Dropout3d):
            module.p = 0.0
    return network


def check_step_lowers_the_loss(network: nn.Module, inputs: list[Tensor], labels: bool) -> None:
    """A step against the gradient, in training mode, with the losses of a config."""
    quiet(network).train()
    formula = LossFormula("bce(mask) + dice(mask)" + (" + mse(label)" if labels else ""))
    target = (inputs[0].mean(dim=1, keepdim=True) > 0).to(torch.uint8)

    def loss() -> Tensor:
        outputs = name_outputs(network(*inputs), ["mask", "label"] if labels else ["mask"])
        logits = outputs["mask"][0] if isinstance(outputs["mask"], list) else outputs["mask"]
        truth = {"mask": target.expand_as(logits)}
        if labels:
            truth["label"] = torch.ones_like(outputs["label"])
        return formula(outputs, truth)[0]

    before = loss()
    before.backward()
    trained = [parameter for parameter in network.parameters() if parameter.grad is not None]
    length = torch.sqrt(sum(parameter.grad.square().sum() for parameter in trained))
    assert torch.isfinite(length)
    assert length > 0
    start = [parameter.detach().clone() for parameter in trained]
    after = []
    with torch.no_grad():
        # A batch norm over one pixel of two images (PAN, EMANet) is steep: there the short steps are the lowering ones.
        for step in (1e-3, 1e-4, 1e-5):
            for parameter, place in zip(trained, start, strict=True):
                parameter.copy_(place - step * parameter.grad / length)
            after.append(loss())
            if after[-1] < before:
                return
    raise AssertionError(f"no step along the gradient lowers the loss: {before.item()} -> {after}")


def check_round_trip(network: nn.Module, config: dict, inputs: list[Tensor]) -> None:
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    other = build(config)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    with torch.no_grad():
        assert torch.equal(finest(other.eval()(*inputs)), finest(network.eval()(*inputs)))


@pytest.mark.parametrize("row", once(SEGMENTATION))
def test_small_ones_of_any_channels_and_sizes_train_and_are_saved(row):
    torch.manual_seed(0)
    config = small(row)
    first, second = sizes_of(row)
    for channels in (1, 4, 9, 3):
        network = build(with_channels(config, channels)).eval()
        for size in (first, second) if channels == 3 else (first,):
            with torch.no_grad():
                mask = finest(network(*row.inputs(1, (channels, *size))))
            assert mask.shape == (1, classes_of(config), *size)
            assert mask.isfinite().all()
    inputs = row.inputs(2, (3, *first))
    check_step_lowers_the_loss(network, inputs, labels=bool(row.init_args.get("labels")))
    check_round_trip(network, with_channels(config, 3), inputs)


@pytest.mark.parametrize("row", [row for row in once(SEGMENTATION) if len(row.values[0].shape) == 3])
def test_images_of_any_size_come_back_at_their_size(row):
    """Whatever multiple of pixels the encoder wants: what is padded is cut off again."""
    torch.manual_seed(0)
    height, width = (131, 150) if row.class_path.endswith("PAN") else (70, 45)
    network = build(small(row)).eval()
    image, *side = row.inputs(1, (row.shape[0], height, width))

    def probabilities(batch: Tensor) -> dict[str, Tensor]:
        assert batch.shape[-2] % 32 == batch.shape[-1] % 32 == 0
        return {"mask": finest(network(batch, *side)).sigmoid()}

    mask = Inference()(probabilities, image)["mask"]
    assert mask.shape == (1, classes_of(small(row)), height, width)
    assert mask.isfinite().all()


OURS = [row for row in once(SEGMENTATION) if row.values[0].class_path.startswith("networks.")]


@pytest.mark.parametrize("row", OURS)
def test_no_weight_is_left_without_a_gradient(row):
    """Data-parallel training refuses a network with parameters that a step does not use."""
    network = build(small(row)).train()
    result = network(*row.inputs(2, (row.shape[0], *sizes_of(row)[0])))
    sum(value.mean() for value in ([result] if isinstance(result, Tensor) else result)).backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    # MONAI's DynUNet builds a head for every level and uses those that deep_supr_num asks for.
    assert unused == [] or row.class_path == "networks.unstack_deep_supervision"


@pytest.mark.parametrize("row", OURS)
def test_half_precision_is_finite(row):
    network = build(small(row)).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert finest(network(*row.inputs(1, (row.shape[0], *sizes_of(row)[0])))).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.tip} {row.name}".strip()) for row in SEGMENTATION])
def test_every_row_as_it_stands(row):
    torch.manual_seed(0)
    sizes = VOLUMES if len(row.shape) == 4 else [(256, 256), (256, 320)] if row.class_path.endswith("PAN") else SIZES
    for channels in (1, 4, 9, 3):
        network = build(with_channels(row.config(), channels)).eval()
        for size in sizes if channels == 3 else sizes[:1]:
            with torch.no_grad():
                assert finest(network(*row.inputs(1, (channels, *size)))).shape[2:] == size
    inputs = row.inputs(2, (3, *sizes[0]))
    check_step_lowers_the_loss(network, inputs, labels=bool(row.init_args.get("labels")))
    check_round_trip(network, with_channels(row.config(), 3), inputs)

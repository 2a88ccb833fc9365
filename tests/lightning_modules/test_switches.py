"""compile_network, gradient_checkpointing, synchronised batch norm: same weights, same keys, same checkpoints."""

import copy
from functools import partialmethod

import pytest
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn
from torch.utils.data import DataLoader

from experiments.loading import build_module, load
from lightning_modules import ClassificationModule
from lightning_modules.checkpointing import checkpoint_activations
from networks import ImageClassifier

SMALL = "tf_mobilenetv3_small_minimal_100"
CONFIG = {
    "class_path": "lightning_modules.SegmentationModule",
    "init_args": {
        "network": {
            "class_path": "torch.nn.Conv2d",
            "init_args": {"in_channels": 3, "out_channels": 1, "kernel_size": 3, "padding": 1},
        },
        "outputs": ["mask"],
        "loss": "bce",
    },
}


def made(**settings):
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIG)
    config["init_args"] |= settings
    module = build_module(config)
    module.config = config
    return module


@pytest.fixture
def compiled(monkeypatch):
    """Counts what is compiled and run compiled; without a C++ compiler, which would take a minute."""
    runs = []

    def backend(graph, example_inputs):
        def run(*arguments):
            runs.append(arguments)
            return graph(*arguments)

        return run

    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    yield runs
    torch.compiler.reset()


def fit(module, tmp_path, name, ckpt_path=None, epochs=1):
    image = torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train = [{"image": image, "mask": torch.ones(2, 1, 8, 8), "image_id": ["a", "b"]}] * 3
    sizes = [(8, 8), (9, 11), (16, 5)]
    valid = [
        {"image": [torch.zeros(3, *size, dtype=torch.uint8)], "mask": [torch.ones(1, *size)], "image_id": ["v"]}
        for size in sizes
    ]
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path, filename=name)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[checkpoint], logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, *(DataLoader(b, batch_size=None) for b in (train, valid)), ckpt_path=ckpt_path)
    return tmp_path / f"{name}.ckpt"


def test_compiled_and_plain_runs_exchange_checkpoints(tmp_path, compiled):
    plain = fit(made(), tmp_path, "plain")
    assert not compiled
    other = fit(made(compile_network=True), tmp_path, "compiled")
    assert len(compiled) == 3  # the training steps; images of other sizes are validated without
    one, two = (torch.load(path, weights_only=True)["state_dict"] for path in (plain, other))
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)
    # a run goes on with either's checkpoint
    ends = [
        fit(made(compile_network=flag), tmp_path, f"on{flag}", ckpt_path=path, epochs=2)
        for flag, path in ((False, other), (True, plain))
    ]
    one, two = (torch.load(path, weights_only=True)["state_dict"] for path in ends)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert len(compiled) == 6
    copy.deepcopy(made(compile_network=True))
    image = torch.randint(0, 255, (8, 8, 3), dtype=torch.uint8).numpy()
    assert load(ends[1])(image)["mask"].shape == (1, 8, 8)
    assert len(compiled) == 6


def test_averages_of_weights_copy_a_compiled_network(compiled):
    module = made(compile_network=True)
    module.setup("fit")
    other = copy.deepcopy(module)
    image = torch.randn(1, 3, 8, 8)
    assert torch.equal(module(image)["mask"], other(image)["mask"])
    assert len(compiled) == 1
    assert list(other.state_dict()) == list(made().state_dict())


def gradients(network, seed=0):
    torch.manual_seed(seed)
    image = torch.randn(2, 3, 64, 64)
    network.train()(image).square().sum().backward()
    return {name: value.grad.clone() for name, value in network.named_parameters()}


def test_checkpointed_gradients_are_the_same():
    torch.manual_seed(0)
    plain = ImageClassifier(SMALL, 2)
    other = copy.deepcopy(plain)
    module = ClassificationModule(other, ["label"], "bce", gradient_checkpointing=True, channels_last=False)
    assert module.network.encoder.grad_checkpointing
    calls = []
    other.encoder.blocks[2][0].register_forward_pre_hook(lambda *arguments: calls.append(1))
    one, two = gradients(plain), gradients(other)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)
    assert len(calls) == 2  # forward, and again in the backward pass


@pytest.mark.parametrize(
    "make",
    [lambda: ImageClassifier(SMALL, 2), lambda: smp.Unet("tu-resnet18", encoder_weights=None)],
    ids=["timm", "smp"],
)
def test_checkpointing_keeps_less(make):
    def kept(network):
        """Bytes of activations that wait for the backward pass."""
        weights, sizes = {value.data_ptr() for value in network.parameters()}, {}

        def pack(tensor):
            if tensor.data_ptr() not in weights:
                sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network.train()(torch.randn(2, 3, 64, 64))
        return sum(sizes.values())

    plain = make()
    other = copy.deepcopy(plain)
    checkpoint_activations(other)
    assert kept(other) < 0.9 * kept(plain)


def test_networks_that_cannot_are_told_which_can():
    with pytest.raises(ValueError, match="Conv2d has no part with set_grad_checkpointing.*tu-resnet34"):
        made(gradient_checkpointing=True)


def test_synchronised_norms_keep_keys_and_frozen_parts():
    """What `trainer.sync_batchnorm: true` does to the module before DDP takes it."""
    module = ClassificationModule(ImageClassifier(SMALL, 2), ["label"], "bce", freeze=["encoder"])
    keys = list(module.state_dict())
    converted = TorchSyncBatchNorm().apply(module)
    norms = [part for part in converted.modules() if isinstance(part, nn.SyncBatchNorm)]
    assert norms
    assert not any(isinstance(part, nn.BatchNorm2d) for part in converted.modules())
    assert list(converted.state_dict()) == keys
    converted.train()
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)


@pytest.mark.slow
def test_real_compilation_gives_the_same_step(tmp_path):
    """With torch's own compiler: weights after an epoch agree to rounding."""
    one = torch.load(fit(made(), tmp_path, "plain"), weights_only=True)["state_dict"]
    two = torch.load(fit(made(compile_network=True), tmp_path, "compiled"), weights_only=True)["state_dict"]
    for key, value in one.items():
        torch.testing.assert_close(two[key], value)

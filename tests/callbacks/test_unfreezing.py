"""Parts of a network that are trained from some epoch on; the last layer alone; through an interruption."""

import copy

import pytest
import pytorch_lightning as pl
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader

from callbacks import Unfreezing
from experiments.loading import build_module
from lightning_modules import SegmentationModule
from networks.freeze import freeze, freeze_except


class Small(nn.Module):
    """Two blocks with norms in an encoder, dropout, a head."""

    def __init__(self, dropout=0.5):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        )
        self.scale = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image):
        return self.head(self.dropout(self.encoder(image) * self.scale))


class Watch(pl.Callback):
    """What moved in each epoch: names of parameters and buffers."""

    def __init__(self):
        self.moved, self.before = {}, None

    def on_train_epoch_start(self, trainer, pl_module):
        self.before = copy.deepcopy(pl_module.network.state_dict())

    def on_train_epoch_end(self, trainer, pl_module):
        after = pl_module.network.state_dict()
        self.moved[trainer.current_epoch] = {key for key in after if not torch.equal(after[key], self.before[key])}


def fit(epochs, schedule, tmp_path=None, ckpt_path=None, dropout=0.5, **settings):
    torch.manual_seed(0)
    module = SegmentationModule(network=Small(dropout), outputs=["mask"], loss="bce", **settings)
    watch = Watch()
    callbacks = [Unfreezing(schedule), watch] if schedule else [watch]
    if tmp_path is not None:
        callbacks.append(pl.callbacks.ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True))
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=tmp_path is not None, num_sanity_val_steps=0,
    )  # fmt: skip
    image = torch.randint(0, 255, (2, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = {"image": image, "mask": torch.ones(2, 1, 4, 4), "image_id": ["a", "b"]}
    trainer.fit(module, DataLoader([batch] * 2, batch_size=None), ckpt_path=ckpt_path)
    return module, watch.moved


HEAD = {"scale", "head.weight", "head.bias"}


def block(number):
    conv, norm = (f"encoder.{number}.{index}" for index in (0, 1))
    statistics = {f"{norm}.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    # a bias before a norm has no gradient to speak of, but rounding moves it
    return {f"{conv}.weight", f"{conv}.bias", f"{norm}.weight", f"{norm}.bias"} | statistics


def test_parts_join_in_their_epochs():
    module, moved = fit(4, {"encoder.1": 1, "encoder": 3})
    assert moved == {0: HEAD, 1: HEAD | block(1), 2: HEAD | block(1), 3: HEAD | block(1) | block(0)}
    assert all(value.requires_grad for value in module.parameters())
    assert "train" not in vars(module.network.encoder)


def test_a_resumed_run_finds_its_place(tmp_path):
    schedule = {"encoder.1": 1, "encoder.0": 2}
    whole, moved = fit(3, schedule, dropout=0.0)
    fit(2, schedule, tmp_path, dropout=0.0)
    resumed, later = fit(3, schedule, ckpt_path=tmp_path / "last.ckpt", dropout=0.0)
    assert later == {2: moved[2]}
    found = resumed.network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in whole.network.state_dict().items())


def test_only_the_last_layer_is_tuned():
    """Weights and norm statistics stay to the last bit; dropout goes on."""
    module, moved = fit(2, None, train_only=["head"])
    assert moved == {0: HEAD - {"scale"}, 1: HEAD - {"scale"}}
    assert module.network.train().dropout.training
    assert not module.network.encoder[1][1].training
    names = {name for name, value in module.network.named_parameters() if value.requires_grad}
    assert names == {"head.weight", "head.bias"}


def test_features_differ_between_epochs_by_dropout():
    module = SegmentationModule(network=Small(), outputs=["mask"], loss="bce", train_only=["head"]).train()
    image = torch.randn(2, 3, 4, 4)
    assert not torch.equal(module(image)["mask"], module(image)["mask"])
    assert torch.equal(module.network.encoder(image), module.network.encoder(image))


def test_freezing_for_good_is_not_undone():
    _, moved = fit(2, {"encoder": 1}, freeze=["encoder.0"])
    assert moved == {0: HEAD, 1: HEAD | block(1)}
    with pytest.raises(ValueError, match="'encoder.0' is permanently frozen"):
        fit(1, {"encoder.0": 1}, freeze=["encoder"])


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="no module 'body'; it has encoder, dropout, head"):
        fit(1, {"body": 1})
    with pytest.raises(ValueError, match="expected epochs of 1 or more"):
        Unfreezing({"encoder": 0})
    with pytest.raises(ValueError, match="train_only is .*, expected names"):
        freeze_except(Small(), [""])


def test_undo_brings_back_what_was_trained_before():
    network = Small()
    freeze(network, ["encoder.0"])
    frozen = freeze(network, ["encoder"])
    frozen.undo(training=True)
    network.train()
    assert not network.encoder[0].training
    assert network.encoder[1][1].training
    assert {name for name, value in network.named_parameters() if not value.requires_grad} == {
        f"encoder.0.{part}.{kind}" for part in (0, 1) for kind in ("weight", "bias")
    }


class Agree(pl.Callback):
    """Each rank has data of its own, all end with the same weights; raises in the rank where it is otherwise."""

    def __init__(self, watch, expected):
        self.watch, self.expected = watch, expected

    def on_train_end(self, trainer, pl_module):
        moved = {
            epoch: {key for key in keys if not key.split(".")[-1].startswith(("running", "num_batches"))}
            for epoch, keys in self.watch.moved.items()
        }
        assert moved == self.expected, moved
        for name, value in pl_module.network.named_parameters():
            gathered = pl_module.all_gather(value.detach())
            assert torch.equal(gathered[0], gathered[1]), name


@pytest.mark.slow
def test_two_ranks_train_alike():
    """Under DDP, which has to look for parameters that are not used."""

    def weights(number):
        return {key for key in block(number) if key.endswith(("weight", "bias"))}

    watch = Watch()
    expected = {0: HEAD, 1: HEAD | weights(1), 2: HEAD | weights(1) | weights(0)}
    batches = [
        {"image": torch.randint(0, 255, (2, 3, 4, 4), dtype=torch.uint8), "mask": torch.ones(2, 1, 4, 4)}
        for _ in "1234"
    ]
    batches = [batch | {"image_id": ["a", "b"]} for batch in batches]
    for strategy in ("ddp_fork_find_unused_parameters_true", "ddp_fork"):
        trainer = pl.Trainer(
            max_epochs=3, accelerator="cpu", devices=2, strategy=strategy, logger=False, enable_progress_bar=False,
            callbacks=[Unfreezing({"encoder.1": 1, "encoder": 2}), watch, Agree(watch, expected)],
            enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
        )  # fmt: skip
        module = SegmentationModule(network=Small(), outputs=["mask"], loss="bce")
        if strategy == "ddp_fork":
            with pytest.raises(Exception, match="ddp_find_unused_parameters_true"):
                trainer.fit(module, DataLoader(batches, batch_size=None))
        else:
            trainer.fit(module, DataLoader(batches, batch_size=None))


def test_from_yaml():
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--callback", type=pl.Callback)
    text = "{class_path: callbacks.Unfreezing, init_args: {parts: {encoder.layer4: 2, encoder: 4}}}"
    made = parser.instantiate(parser.parse_object({"callback": yaml.safe_load(text)})).callback
    assert made.parts == {"encoder.layer4": 2, "encoder": 4}
    config = {
        "class_path": "lightning_modules.ClassificationModule",
        "init_args": {
            "network": {"class_path": "networks.ImageClassifier", "init_args": {"encoder": "resnet18", "classes": 2}},
            "outputs": ["label"],
            "loss": "bce",
            "train_only": ["head"],
            "layer_decay": 0.65,
        },
    }
    module = build_module(config)
    assert {name.split(".")[0] for name in module._trained} == {"head"}

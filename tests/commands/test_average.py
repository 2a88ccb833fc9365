import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from commands.average import choose, estimate_norms
from experiments.averaging import average, write
from experiments.run_folder import RunFolder
from lightning_modules import SegmentationModule


def checkpoint(path, state, step=0, score=None, mode="max"):
    path.parent.mkdir(parents=True, exist_ok=True)
    callbacks = {} if score is None else {"TopCheckpoints{}": {"current_score": torch.tensor(score), "mode": mode}}
    content = {"state_dict": state, "global_step": step, "epoch": step, "model": {"class_path": "x"}, "folds_hash": "h"}
    torch.save(content | {"callbacks": callbacks, "optimizer_states": [1]}, path)
    return path


def state(seed):
    random = torch.Generator().manual_seed(seed)
    return {
        "network.weight": torch.randn(50, generator=random) * 10 ** torch.randn(50, generator=random),
        "network.half": torch.randn(5, generator=random).half(),
        "network.num_batches_tracked": torch.tensor(100 + seed),
        "mean": torch.full((1, 1, 1), 0.5),
    }


def test_the_mean_is_that_of_float64_and_integers_are_copied(tmp_path):
    files = [checkpoint(tmp_path / f"{seed}.ckpt", state(seed), step=seed) for seed in (3, 1, 2)]
    content = average(files)
    for name in ("network.weight", "network.half"):
        exact = np.mean([state(seed)[name].double().numpy() for seed in (3, 1, 2)], axis=0)
        found = content["state_dict"][name]
        assert found.dtype == state(3)[name].dtype
        assert torch.equal(found, torch.from_numpy(exact).to(found.dtype))
    assert content["state_dict"]["network.num_batches_tracked"] == 103
    assert content["averaged"] == ["3.ckpt", "1.ckpt", "2.ckpt"]
    assert (content["model"], content["folds_hash"], content["global_step"]) == ({"class_path": "x"}, "h", 3)
    assert not {"optimizer_states", "callbacks"} & content.keys()
    path = write(content, tmp_path / "average.ckpt")
    assert torch.load(path, weights_only=True)["averaged"] == content["averaged"]
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network.other": torch.zeros(1)}, "different networks: 1 weights differ, first network.other"),
        ({"network.half": torch.zeros(4)}, r"network.half has the shape \(5,\) in .*, \(4,\) in"),
        ({"mean": torch.zeros(1, 1, 1)}, r"model.mean is \[0.5\]"),
    ],
)
def test_what_cannot_be_averaged(tmp_path, changed, message):
    files = [checkpoint(tmp_path / "a.ckpt", state(1)), checkpoint(tmp_path / "b.ckpt", state(2) | changed)]
    with pytest.raises(ValueError, match=message):
        average(files)


@pytest.fixture
def run(tmp_path):
    for step, score in ((1, 0.3), (2, 0.9), (3, 0.5)):
        checkpoint(tmp_path / "checkpoints" / f"top-000-{step}.ckpt", {}, step, score)
    checkpoint(tmp_path / "checkpoints" / "snapshot-01.ckpt", {}, 3)  # the same step as a top one
    checkpoint(tmp_path / "checkpoints" / "snapshot-02.ckpt", {}, 4)
    checkpoint(tmp_path / "checkpoints" / "last.ckpt", {}, 5)
    return RunFolder(tmp_path)


def names(files):
    return [file.name for file in files]


def test_choices(run):
    assert names(choose(run, 2, None, None)) == ["top-000-2.ckpt", "top-000-3.ckpt"]
    newest = names(choose(run, None, 3, None))
    assert newest[0] == "snapshot-02.ckpt"
    assert newest[2] == "top-000-2.ckpt"
    assert len(choose(run, None, 4, None)) == 4
    assert names(choose(run, None, None, ["last", "top-000-1"])) == ["last.ckpt", "top-000-1.ckpt"]


def test_of_a_loss_the_smallest_are_best(tmp_path):
    for step, score in ((1, 0.3), (2, 0.9), (3, 0.5)):
        checkpoint(tmp_path / "checkpoints" / f"top-000-{step}.ckpt", {}, step, score, mode="min")
    assert names(choose(RunFolder(tmp_path), 2, None, None)) == ["top-000-1.ckpt", "top-000-3.ckpt"]


def test_wrong_choices(run):
    for ways in ((None, None, None), (1, 1, None)):
        with pytest.raises(ValueError, match="exactly one of --top"):
            choose(run, *ways)
    with pytest.raises(ValueError, match="contains 3 of top-.*expected 4; train with.*k: 4"):
        choose(run, 4, None, None)
    with pytest.raises(ValueError, match="expected 0"):
        choose(run, 0, None, None)
    with pytest.raises(FileNotFoundError, match="file not found"):
        choose(run, None, None, ["first"])


class Net(nn.Sequential):
    def __init__(self, dropout=0.0):
        super().__init__(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(dropout), nn.Conv2d(4, 1, 1))


def batches(count=5):
    random = torch.Generator().manual_seed(0)
    return [{"image": torch.randint(256, (2, 3, 6, 6), generator=random, dtype=torch.uint8)} for _ in range(count)]


def test_statistics_of_norms_are_those_of_torch():
    module = SegmentationModule(Net(), outputs=["mask"], loss="bce", channels_last=False)
    module.network[1].running_mean.fill_(77)
    other = Net()
    other.load_state_dict(module.network.state_dict())
    update_bn([module.normalise(batch["image"]) for batch in batches()], other)
    estimate_norms(module, batches())
    for name, value in other.state_dict().items():
        torch.testing.assert_close(module.network.state_dict()[name], value, msg=name)
    assert module.network[1].momentum == 0.3
    assert not module.network.training


def test_statistics_are_those_of_prediction_without_dropout():
    found = []
    for dropout in (0.0, 0.9):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Dropout(dropout), *Net())
        module = SegmentationModule(net, outputs=["mask"], loss="bce")
        estimate_norms(module, batches(), batches=2)
        found.append(net[2])
    assert torch.equal(found[0].running_var, found[1].running_var)
    assert found[0].num_batches_tracked == 2


def test_norms_of_frozen_parts_stay_as_they_are():
    net = nn.ModuleDict({"encoder": Net(), "head": nn.BatchNorm2d(1)})
    net.forward = lambda image: net["head"](net["encoder"](image))
    module = SegmentationModule(net, outputs=["mask"], loss="bce", freeze=["encoder"])
    before = {name: value.clone() for name, value in net["encoder"].state_dict().items()}
    estimate_norms(module, batches())
    assert all(torch.equal(value, before[name]) for name, value in net["encoder"].state_dict().items())
    assert net["head"].num_batches_tracked == 5
    with pytest.raises(ValueError, match="no training batch"):
        estimate_norms(module, [])

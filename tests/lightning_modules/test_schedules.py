"""Schedules from YAML: exact traces of learning rates, with scripted scores, and through an interruption."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import yaml
from torch.utils.data import DataLoader

from experiments.loading import build_module
from lightning_modules.schedules import Piecewise, WarmupCosine, make_scheduler, stretch_one_cycle


def at(progress: float, **arguments) -> float:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(optimizer, **arguments)
    schedule.progress = progress
    optimizer.step()
    schedule.step()
    return optimizer.param_groups[0]["lr"]


def test_corner_values():
    assert at(0.0, warmup=0.1, start=0.02) == pytest.approx(2 * 0.02)
    assert at(0.1, warmup=0.1) == pytest.approx(2.0)
    assert at(0.55, warmup=0.1, final=0.0) == pytest.approx(1.0)
    assert at(1.0, final=0.001) == pytest.approx(0.002)


def test_rises_then_falls():
    rates = [at(step / 50, warmup=0.2) for step in range(51)]
    top = rates.index(max(rates))
    assert top == 10
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_warmup_is_a_share():
    with pytest.raises(ValueError, match="warmup"):
        at(0.5, warmup=5)


# --- whole runs ------------------------------------------------------------------------------------------------------

STEPS = 2  # in an epoch
MODEL = """
class_path: lightning_modules.SegmentationModule
init_args:
  network: {class_path: torch.nn.Conv2d, init_args: {in_channels: 3, out_channels: 1, kernel_size: 1}}
  outputs: [mask]
  loss: bce
"""


class Scripted(pl.Callback):
    """Plays the competition: logs these scores, one a validation, and notes the rate that each step was made with."""

    def __init__(self, scores=(), higher_is_better=True):
        self.competition = SimpleNamespace(metric=SimpleNamespace(higher_is_better=higher_is_better))
        self.scores, self.rates = scores, []

    def on_validation_epoch_end(self, trainer, pl_module):
        if self.scores:
            pl_module.log("val/score", float(self.scores[trainer.current_epoch]))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def run(settings, epochs, scripted, tmp_path=None, ckpt_path=None, stop=None, every=1, validated=1.0):
    """Train a 1x1 convolution with these YAML settings; returns the trainer. `stop`: end after so many epochs."""
    config = yaml.safe_load(MODEL)
    config["init_args"] |= yaml.safe_load(settings)
    torch.manual_seed(0)
    module = build_module(config)
    image = torch.randint(0, 255, (1, 3, 4, 4), dtype=torch.uint8)
    train = [{"image": image, "mask": torch.ones(1, 1, 4, 4), "image_id": ["a"]}] * STEPS
    valid = [{"image": [image[0]], "mask": [torch.ones(1, 4, 4)], "image_id": ["a"]}]
    callbacks = [scripted]
    if tmp_path is not None:
        callbacks.append(pl.callbacks.ModelCheckpoint(tmp_path, save_last=True))
    if stop is not None:
        callbacks.append(StopAfter(stop))
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=tmp_path is not None, num_sanity_val_steps=0,
        check_val_every_n_epoch=every, limit_val_batches=validated,
    )  # fmt: skip
    loaders = (DataLoader(batches, batch_size=None) for batches in (train, valid))
    trainer.fit(module, *loaders, ckpt_path=ckpt_path)
    return trainer


class StopAfter(pl.Callback):
    """Ends a run as a time limit does: without telling the schedule that there will be fewer epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def per_epoch(rates):
    assert all(rates[i] == rates[i - i % STEPS] for i in range(len(rates)))
    return rates[::STEPS]


ADAM = "optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.08}}\n"
SGD = "optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.08, momentum: 0.9}}\n"


def torch_scheduler(name, **arguments):
    given = yaml.safe_dump(arguments, default_flow_style=True).strip()
    return f"scheduler: {{class_path: torch.optim.lr_scheduler.{name}, init_args: {given}}}"


PLATEAU = ADAM + torch_scheduler("ReduceLROnPlateau", factor=0.5, patience=2, threshold=0.0)
PIECEWISE = (
    SGD + "scheduler: {class_path: lightning_modules.Piecewise, init_args: {rates: [0.3, 0.15, 0.01], epochs: [2, 1]}}"
)
ONE_CYCLE = SGD + torch_scheduler("OneCycleLR", max_lr=0.1)
CYCLIC = SGD + torch_scheduler("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=3)


def test_piecewise_is_its_table():
    scripted = Scripted()
    run(PIECEWISE, 5, scripted)
    assert per_epoch(scripted.rates) == pytest.approx([0.3, 0.3, 0.15, 0.01, 0.01])


def test_the_table_of_hpa_2018():
    rates, epochs = [30e-5, 15e-5, 7.5e-5, 3e-5, 1e-5], [25, 5, 5, 5, 5]
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))]},
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.4},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule, found = Piecewise(optimizer, rates, epochs), []
    for _ in range(sum(epochs)):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    expected = [rate for rate, times in zip(rates, epochs, strict=True) for _ in range(times)]
    assert [one for one, _ in found] == pytest.approx(expected)
    assert [other for _, other in found] == pytest.approx([4 * rate for rate in expected])
    with pytest.raises(ValueError, match="5 rates .* with epochs"):
        Piecewise(optimizer, rates, [25, 5])


# a new best resets the count; the third flat epoch in a row halves the rate
SCORES = [0.5, 0.6, 0.6, 0.59, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7]
HALVED = [0.08] * 5 + [0.04] * 4 + [0.02]


@pytest.mark.parametrize("higher", [True, False])
def test_plateau_follows_the_direction_of_the_metric(higher):
    scripted = Scripted([score if higher else -score for score in SCORES], higher)
    run(PLATEAU, len(SCORES), scripted)
    assert per_epoch(scripted.rates) == pytest.approx(HALVED)


def test_halve_after_two_epochs_without_improvement():
    """`patience` is the number of flat epochs that are borne: 1 halves when the second one is flat."""
    scripted = Scripted([0.5, 0.6, 0.6, 0.6, 0.61, 0.6, 0.6, 0.6, 0.6])
    run(PLATEAU.replace("patience: 2", "patience: 1"), 9, scripted)
    assert per_epoch(scripted.rates) == pytest.approx([0.08] * 4 + [0.04] * 3 + [0.02] * 2)


def test_plateau_counts_validations_not_epochs():
    scripted = Scripted([score for score in SCORES for _ in range(2)])
    run(PLATEAU, 2 * len(SCORES), scripted, every=2)
    assert per_epoch(scripted.rates) == pytest.approx([rate for rate in HALVED for _ in range(2)])


def test_plateau_wants_a_value_and_no_interval():
    with pytest.raises(ValueError, match="'val/f1' is not logged"):
        run(PLATEAU + "\nscheduler_monitor: val/f1", 1, Scripted([0.5]))
    with pytest.raises(ValueError, match="but there are none"):
        run(PLATEAU, 1, Scripted(), validated=0)
    with pytest.raises(ValueError, match="remove model.scheduler_interval"):
        run(PLATEAU + "\nscheduler_interval: step", 1, Scripted([0.5]))


def test_plateau_on_the_loss_keeps_its_own_direction():
    scripted = Scripted([0.5] * 4)
    run(PLATEAU + "\nscheduler_monitor: val/loss", 4, scripted)  # falls all the time
    assert per_epoch(scripted.rates) == pytest.approx([0.08] * 4)


def test_one_cycle_takes_the_length_of_the_run_and_cycles_momentum():
    scripted = Scripted()
    run(ONE_CYCLE, 5, scripted)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.08, momentum=0.9)
    schedule, expected = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10), []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert scripted.rates == pytest.approx(expected)
    assert expected[-1] < 1e-5 < 0.09 < max(expected)
    forever = SimpleNamespace(estimated_stepping_batches=float("inf"), callbacks=[])
    with pytest.raises(ValueError, match="trainer.max_epochs"):
        make_scheduler(
            lambda *a, **k: torch.optim.lr_scheduler.OneCycleLR(*a, max_lr=0.1, **k), optimizer, forever, "x"
        )


def test_cyclic_is_a_triangle_of_steps():
    scripted = Scripted()
    run(CYCLIC, 4, scripted)
    assert scripted.rates == pytest.approx([0.01, 0.04, 0.07, 0.1, 0.07, 0.04, 0.01, 0.04])


def test_layers_keep_their_ratios_where_torch_levels_them():
    def settings(name, **arguments):
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(3)]
        groups[1] |= {"lr_scale": 0.5, "lr": 0.05}
        groups[2]["lr"] = 0.7  # a loss
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        kind = getattr(torch.optim.lr_scheduler, name)
        schedule = make_scheduler(
            lambda o, **k: kind(o, **arguments, **k), optimizer, SimpleNamespace(callbacks=[]), "x"
        )
        found = []
        for _ in range(10):
            found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        return torch.tensor(found)

    for rates in (
        settings("OneCycleLR", max_lr=0.2, total_steps=10, pct_start=0.5),
        settings("CyclicLR", base_lr=0.01, max_lr=0.2, step_size_up=4),
    ):
        torch.testing.assert_close(rates[:, 1], rates[:, 0] / 2)
        assert rates.max(dim=0).values.tolist() == pytest.approx([0.2, 0.1, 0.7])


@pytest.mark.parametrize(
    ("settings", "stop"),
    [
        (SGD + "scheduler: {class_path: lightning_modules.WarmupCosine, init_args: {warmup: 0.3}}", 3),
        (PIECEWISE, 1),
        (PLATEAU, 4),
        (ONE_CYCLE, 4),
        (CYCLIC, 4),
        (ADAM + torch_scheduler("CosineAnnealingWarmRestarts", T_0=2, T_mult=2), 3),
    ],
    ids=["warmup_cosine", "piecewise", "plateau", "one_cycle", "cyclic", "restarts"],
)
def test_a_resumed_run_goes_on_with_the_very_same_rates(settings, stop, tmp_path):
    """... and weights, so that momentum and moments come back too."""
    whole, first, second = Scripted(SCORES), Scripted(SCORES), Scripted(SCORES)
    expected = run(settings, 8, whole).lightning_module.network.weight
    run(settings, 8, first, tmp_path, stop=stop)
    found = run(settings, 8, second, ckpt_path=tmp_path / "last.ckpt").lightning_module.network.weight
    assert first.rates + second.rates == whole.rates
    assert len(set(whole.rates)) > 1
    assert torch.equal(expected, found)


LENGTHS = {
    "warmup_cosine": SGD + "scheduler: {class_path: lightning_modules.WarmupCosine, init_args: {warmup: 0.2}}",
    "piecewise": PIECEWISE,
    "plateau": PLATEAU,
    "one_cycle": ONE_CYCLE,
    "cyclic": CYCLIC,
    "restarts": ADAM + torch_scheduler("CosineAnnealingWarmRestarts", T_0=2, T_mult=2),
    "cosine": SGD + torch_scheduler("CosineAnnealingLR", T_max=4),
    "polynomial": SGD + torch_scheduler("PolynomialLR", total_iters=4),
    "linear": SGD + torch_scheduler("LinearLR", total_iters=4),
}


@pytest.mark.parametrize("settings", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("change", ["more", "fewer", "small_batches", "large_batches"])
def test_a_run_resumes_with_another_length(settings, change, tmp_path, monkeypatch):
    """More epochs after the last, fewer than were planned, other batches: it trains to its end."""
    planned, stop, epochs = (4, None, 8) if change == "more" else (8, 4, 6) if change == "fewer" else (8, 4, 8)
    run(settings, planned, Scripted(SCORES), tmp_path, stop=stop)
    monkeypatch.setitem(globals(), "STEPS", {"small_batches": 4, "large_batches": 1}.get(change, STEPS))
    second = Scripted(SCORES)
    trainer = run(settings, epochs, second, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.current_epoch == epochs
    assert len(second.rates) == (epochs - 4) * STEPS
    assert all(rate >= 0 for rate in second.rates)


@pytest.mark.parametrize("settings", [ONE_CYCLE, LENGTHS["warmup_cosine"]], ids=["one_cycle", "warmup_cosine"])
@pytest.mark.parametrize(("planned", "stop", "epochs"), [(4, None, 8), (8, 4, 6)], ids=["more", "fewer"])
def test_what_follows_the_length_is_that_of_a_run_of_the_new_length(settings, planned, stop, epochs, tmp_path):
    whole, second = Scripted(SCORES), Scripted(SCORES)
    run(settings, epochs, whole)
    run(settings, planned, Scripted(SCORES), tmp_path, stop=stop)
    run(settings, epochs, second, ckpt_path=tmp_path / "last.ckpt")
    skip = settings is not ONE_CYCLE  # the step to come has the rate that the checkpoint left
    assert second.rates[skip:] == pytest.approx(whole.rates[4 * STEPS :][skip:])


@pytest.mark.parametrize("steps", [4, 1], ids=["small_batches", "large_batches"])
def test_a_cycle_ends_with_the_run_whatever_the_batches(steps, tmp_path, monkeypatch):
    run(ONE_CYCLE, 8, Scripted(), tmp_path, stop=4)
    monkeypatch.setitem(globals(), "STEPS", steps)
    second = Scripted()
    trainer = run(ONE_CYCLE, 8, second, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.lr_scheduler_configs[0].scheduler.total_steps == 8 + 4 * steps
    assert second.rates[-1] < 0.1 * max(second.rates)


@pytest.mark.parametrize("max_lr", [0.2, [0.1, 0.2]])
def test_a_cycle_of_a_configured_length_keeps_it(max_lr):
    def make(optimizer, total_steps=20):
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=total_steps)

    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    stretch_one_cycle(scheduler, make, 40)
    assert scheduler.total_steps == 20


def test_restarts_by_epochs():
    scripted = Scripted()
    run(ADAM + torch_scheduler("CosineAnnealingWarmRestarts", T_0=2), 4, scripted)
    assert per_epoch(scripted.rates) == pytest.approx([0.08, 0.04, 0.08, 0.04])

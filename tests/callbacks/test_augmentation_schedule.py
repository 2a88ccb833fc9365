"""None, soft, hard: the switch at the right epoch, in persistent workers and on the device, after a resume too."""

import json
from types import SimpleNamespace

import albumentations
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from augmentations import ByClass, Colour, Geometry, Stages
from augmentations.steps import Steps
from callbacks import AugmentationSchedule, CompetitionScore
from callbacks.augmentation_schedule import Stage

pytestmark = pytest.mark.filterwarnings("ignore:(The dirpath has changed|Checkpoint directory|You're resuming)")
SIZE = 33


class Turned(Dataset):
    """A picture of its own coordinates (x, y), so that what comes out tells the angle it was turned by."""

    def __init__(self, augmentation):
        self.augmentation = Steps(augmentation)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
        # Another seed for each draw: each worker draws from its own generator.
        seed = int(torch.randint(2**31, ()))
        image = np.stack([columns, rows], -1)
        image, _ = self.augmentation(image, {}, 1.0, seed, np.random.default_rng(seed))
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def angles(images):
    """Degrees by which `(N, 2, H, W)` of coordinates were turned."""
    middle = SIZE // 2
    # Far apart, because OpenCV interpolates in steps of 1/32 pixel.
    step = images[:, :, middle, middle + 10] - images[:, :, middle, middle - 10]
    return torch.rad2deg(torch.atan2(step[:, 1], step[:, 0])).tolist()


class Data(pl.LightningDataModule):
    def __init__(self, workers):
        super().__init__()
        self.augmentation, self.workers = [stages()], workers

    def train_dataloader(self):
        keep = self.workers > 0
        return DataLoader(Turned(self.augmentation), 4, num_workers=self.workers, persistent_workers=keep)

    def val_dataloader(self):
        return DataLoader(torch.zeros(1, 1), 1)


class Scripted(pl.LightningModule):
    """Notes the angles of each epoch's batches, from the workers and on the device; its score is written down."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.augmentation = scores, [stages()]
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.workers, self.device_, self.pids = {}, {}, set()

    def training_step(self, batch, batch_idx):
        self.workers.setdefault(self.current_epoch, []).extend(angles(batch))
        random = np.random.default_rng([self.current_epoch, batch_idx])
        clean = Turned([])[0].expand(4, -1, -1, -1)
        moved = self.augmentation[0].batch({"image": clean}, 1.0, random)["image"]
        self.device_.setdefault(self.current_epoch, []).extend(angles(moved))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.log("val/score", self.scores[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def stages():
    soft = Geometry(affine=1.0, rotate=[-30, 30], border="reflect")
    hard = Geometry(affine=1.0, rotate=[-30, 30], extremes=True, border="reflect")
    return Stages({"none": [], "soft": [soft], "hard": [hard]})


def schedule(*plan, **settings):
    return AugmentationSchedule([Stage(*one) for one in plan or PLAN], mode="max", **settings)


PLAN = [("none", None, 2), ("soft", 2), ("hard",)]
SCORES = [0.1, 0.3, 0.2, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]  # flat from epoch 1 on: stalled at 2 and 3


def kind(found):
    """Which stage the angles of an epoch are of."""
    if max(map(abs, found)) < 1e-3:
        return "none"
    ends = [abs(abs(angle) - 30) < 0.15 for angle in found]
    return "hard" if all(ends) else "soft" if sum(ends) < 2 else "mixed"


def fit(folder, epochs, callback, workers=0, resume=None, scores=SCORES, **settings):
    torch.manual_seed(0)
    module, data = Scripted(scores), Data(workers)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
        callbacks=[callback, *savers(folder)],
        **settings,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module


def savers(folder):
    """The last epoch's end as `last.ckpt`, and each step's."""
    each = pl.callbacks.ModelCheckpoint(
        folder / "steps",
        filename="{step}",
        every_n_train_steps=1,
        save_top_k=-1,
        auto_insert_metric_name=False,
    )
    return [pl.callbacks.ModelCheckpoint(folder, save_last=True, enable_version_counter=False), each]


def trace(module):
    return {epoch: (kind(module.workers[epoch]), kind(module.device_[epoch])) for epoch in module.workers}


WANTED = {epoch: "none" for epoch in range(4)} | {4: "soft", 5: "soft", 6: "hard", 7: "hard"}


@pytest.mark.parametrize("workers", [0, 2])
def test_stages_switch_at_the_right_epoch_and_persistent_workers_see_it(tmp_path, workers):
    module = fit(tmp_path, 8, schedule(), workers)
    assert trace(module) == {epoch: (name, name) for epoch, name in WANTED.items()}
    assert {round(angle) for angle in module.workers[6] + module.workers[7]} == {-30, 30}


@pytest.mark.parametrize(("workers", "stop"), [(0, 1), (0, 3), (0, 5), (0, 6), (1, 4)])
def test_a_resumed_run_goes_on_in_its_stage(tmp_path, workers, stop):
    fit(tmp_path, stop, schedule())
    again = fit(tmp_path, 8, schedule(), workers, resume=tmp_path / "last.ckpt")
    assert trace(again) == {epoch: (name, name) for epoch, name in WANTED.items() if epoch >= stop}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stopped_in_mid_epoch_ends_it_in_its_stage(tmp_path, workers):
    """The validation in the middle of epoch 3 has decided on the switch, but the epoch ends as it began."""
    settings = {"scores": [0.1, 0.3, 0.3, 0.3, 0.9, 0.9], "val_check_interval": 1}
    plan = ("none", None, 4), ("hard",)
    whole = fit(tmp_path, 5, schedule(*plan), **settings)
    wanted = {0: "none", 1: "none", 2: "none", 3: "none", 4: "hard"}
    assert trace(whole) == {epoch: (name, name) for epoch, name in wanted.items()}
    again = fit(tmp_path / "b", 5, schedule(*plan), workers, resume=tmp_path / "steps" / "7.ckpt", **settings)
    assert trace(again) == {3: ("none", "none"), 4: ("hard", "hard")}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_cut_short_by_steps_goes_on_with_the_next_epoch(tmp_path, workers):
    plan = ("none", 2), ("hard",)
    fit(tmp_path, 5, schedule(*plan), max_steps=3)
    again = fit(tmp_path, 4, schedule(*plan), workers, resume=tmp_path / "last.ckpt")
    assert trace(again) == {2: ("hard", "hard"), 3: ("hard", "hard")}


def test_a_last_stage_with_an_end_ends_the_run(tmp_path):
    module = fit(tmp_path, 10, schedule(("soft", 1), ("hard", 2)))
    assert trace(module) == {0: ("soft", "soft"), 1: ("hard", "hard"), 2: ("hard", "hard")}
    module = fit(tmp_path, 10, schedule(("soft", 1), ("hard", None, 2)), scores=[0.0, 0.5, 0.6, 0.6, 0.6, 0.7, 0.8])
    assert sorted(trace(module)) == [0, 1, 2, 3, 4]


def test_nothing_is_an_improvement_below_the_smallest_change(tmp_path):
    rising = [0.1 + 0.01 * epoch for epoch in range(10)]
    assert trace(fit(tmp_path, 4, schedule(("none", None, 2), ("soft",)), scores=rising))[3] == ("none", "none")
    coarse = schedule(("none", None, 2), ("soft",), min_delta=0.05)
    assert trace(fit(tmp_path, 4, coarse, scores=rising))[3] == ("soft", "soft")
    nan = [0.5, float("nan"), float("nan"), 0.5]
    assert trace(fit(tmp_path, 4, schedule(("none", None, 2), ("soft",)), scores=nan))[3] == ("soft", "soft")


@pytest.mark.parametrize("higher", [True, False])
def test_the_direction_is_that_of_the_competitions_metric(tmp_path, higher):
    class Score(CompetitionScore):
        def __init__(self):
            metric = SimpleNamespace(higher_is_better=higher)
            self.competition, self.folder, self.metrics = SimpleNamespace(metric=metric, submission=None), None, {}

        def on_validation_batch_end(self, *args):
            pass

        def on_validation_epoch_end(self, *args):
            pass

    falling = [1 - 0.1 * epoch for epoch in range(6)]
    callback = AugmentationSchedule([Stage("none", None, 2), Stage("soft")])
    module, trainer = Scripted(falling), {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    callbacks = [callback, Score()]
    pl.Trainer(max_epochs=5, callbacks=callbacks, **trainer, **quiet).fit(module, datamodule=Data(0))
    assert [trace(module)[epoch][0] for epoch in range(5)] == ["none"] * 3 + (["soft"] if higher else ["none"]) * 2


def test_soft_is_continuous_and_hard_has_two_values():
    def drawn(extremes):
        step = Geometry(affine=1.0, rotate=[-30, 30], scale=[0.8, 1.25], extremes=extremes)
        matrix = step.draw(400, (32, 32), np.random.default_rng(0)).matrix[:, :2, :2]
        angle = np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])).round(3)
        return angle, (1 / np.sqrt(np.linalg.det(matrix))).round(6)

    angle, zoom = drawn(extremes=False)
    assert len(set(angle)) > 390
    counts = np.histogram(angle, bins=6, range=(-30, 30))[0]
    assert counts.sum() == 400
    assert counts.min() > 400 / 6 - 4.5 * np.sqrt(400 / 6)
    assert zoom.min() > 0.8
    assert zoom.max() < 1.25
    angle, zoom = drawn(extremes=True)
    assert set(angle) == {-30, 30}
    assert set(zoom) == {0.8, 1.25}
    assert 150 < (angle > 0).sum() < 250
    tint = Colour(p=1.0, brightness=0.2, gamma=[0.5, 2.0], extremes=True).draw(100, 3, np.random.default_rng(0))
    assert set(tint.offset.ravel().round(5)) == {np.float32(-0.2).round(5), np.float32(0.2).round(5)}
    assert set(tint.power.round(5)) == {0.5, 2.0}


def test_stages_hold_any_library_and_stand_inside_others():
    step = Stages({"none": [], "up": [albumentations.HorizontalFlip(p=1.0)]})
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"needs callbacks\.AugmentationSchedule in trainer\.callbacks"):
        step.sample(image, {}, 255.0, random)
    step.switch("none")
    np.testing.assert_array_equal(step.sample(image, {}, 255.0, random)[0], image)
    step.switch("up")
    np.testing.assert_array_equal(step.sample(image, {}, 255.0, random)[0], image[:, ::-1])
    with pytest.raises(ValueError, match=r"HorizontalFlip works on single images"):
        step.batch({"image": torch.zeros(1, 1, 2, 2)}, 1.0, random)

    class Setup:
        datamodule = type("Data", (), {"augmentation": [ByClass([step])]})

    module = type("Module", (), {"augmentation": []})
    schedule(("none", 1), ("up",)).setup(Setup, module, "fit")
    assert int(step.current) == 0
    with pytest.raises(ValueError, match=r"no stage 'wild', only \['none', 'up'\]"):
        schedule(("none", 1), ("wild",)).setup(Setup, module, "fit")
    Setup.datamodule.augmentation = []
    with pytest.raises(ValueError, match=r"neither data\.augmentation nor model\.augmentation has an"):
        schedule().setup(Setup, module, "fit")


def test_plans_that_cannot_be():
    for plan in ([("a",), ("b",)], [("a", 1, 1), ("b",)], [("a", 0), ("b",)], [("a", None, -1), ("b",)]):
        with pytest.raises(ValueError, match="expected one of them, 1 or more"):
            schedule(*plan)
    with pytest.raises(ValueError, match="stages is empty"):
        AugmentationSchedule([])
    with pytest.raises(ValueError, match="monitor is 'val/loss', so set mode"):
        AugmentationSchedule([Stage("a")], monitor="val/loss")
    with pytest.raises(ValueError, match=r"is in stage 3, but this schedule has 2"):
        schedule(("none", 1), ("hard",)).load_state_dict({"begins": [0, 1, 2], "epoch": 2, "best": None, "stalled": 0})


def test_a_value_that_was_not_logged(tmp_path):
    with pytest.raises(ValueError, match=r"monitor is 'val/dice', but logged are \['val/score'\]"):
        fit(tmp_path, 1, schedule(monitor="val/dice"))


class Apart(Scripted):
    """Two ranks that see different scores, and write down what they trained on."""

    def __init__(self, scores, folder):
        super().__init__(scores)
        self.folder = folder

    def validation_step(self, batch, batch_idx):
        self.log("val/score", self.scores[self.global_rank][self.current_epoch], sync_dist=False)

    def on_train_end(self):
        (self.folder / f"{self.global_rank}.json").write_text(json.dumps(trace(self)))


@pytest.mark.slow
def test_ranks_switch_together(tmp_path):
    """Rank 0 decides: its score is flat, the other's rises."""
    scores = [[0.5] * 8, [0.1 * epoch for epoch in range(8)]]
    trainer = pl.Trainer(
        max_epochs=6,
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[schedule(("none", None, 2), ("soft", 1), ("hard",))],
    )
    trainer.fit(Apart(scores, tmp_path), datamodule=Data(1))
    wanted = {str(epoch): [name] * 2 for epoch, name in enumerate(["none"] * 3 + ["soft", "hard", "hard"])}
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [wanted, wanted]

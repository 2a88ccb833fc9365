import copy
import math

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from callbacks.mean_teacher import MeanTeacher, differ
from datamodules.samplers import TrainingSampler
from lightning_modules import SegmentationModule

RATE = 0.5


def images(seed, count):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 4, 4), generator=random, dtype=torch.uint8)


class Given(torch.utils.data.Dataset):
    def __init__(self, seed, count, truth):
        self.images, self.target = images(seed, count), truth

    def __len__(self):
        return len(self.images)

    def __getitem__(self, draw):
        index = getattr(draw, "index", draw)
        image = self.images[index]
        return {"image": image, "image_id": str(index)} | ({"mask": image // 128} if self.target else {})


class Data(pl.LightningDataModule):
    windows, batch_size, seed = None, 2, 0

    def train_dataloader(self):
        return DataLoader(Given(1, 6, truth=True), batch_size=2)


class Teacher(MeanTeacher):
    def loader(self, data):
        unlabelled = Given(2, 10, truth=False)
        return DataLoader(unlabelled, batch_size=2, sampler=TrainingSampler(len(unlabelled)))


class Student(SegmentationModule):
    def __init__(self, network):
        super().__init__(
            network,
            outputs=["mask"],
            loss="bce",
            mean=0.4,
            std=0.3,
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=RATE),
        )
        self.trace, self.taught = [], []

    def on_train_start(self):
        self.start = copy.deepcopy(self.state_dict())

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.trace.append({name: value.clone() for name, value in self.state_dict().items()})
        average = next(c for c in self.trainer.callbacks if isinstance(c, MeanTeacher))._average_model
        self.taught.append({name: value.clone() for name, value in average.module.state_dict().items()})
        assert all(value.grad is None for value in average.module.parameters())


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))


def fit(teacher, net=None, folder=None, epochs=2, resume=None, **settings):
    module = Student(net or network())
    keep = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[teacher, *keep],
        enable_checkpointing=bool(keep),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **settings,
    )
    trainer.fit(module, datamodule=Data(), ckpt_path=resume, weights_only=True)
    return module, trainer


def test_pixels_without_data_need_not_agree():
    one, other = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    valid = torch.rand(2, 4, 4) < 0.5
    valid[0] = False
    expected = F.mse_loss(one[:, 0][valid], other[:, 0][valid])
    torch.testing.assert_close(differ(one, torch.where(valid[:, None], other, torch.nan), valid), expected)
    torch.testing.assert_close(differ(one, other, None), F.mse_loss(one, other))
    assert differ(one, other, torch.zeros(2, 4, 4, dtype=torch.bool)) == 0
    torch.testing.assert_close(
        differ(one[:, :, 0, 0], other[:, :, 0, 0], valid), F.mse_loss(one[..., 0, 0], other[..., 0, 0])
    )
    teacher, student = Teacher(noise=0.0), Student(network())
    teacher._average_model = nn.Module()
    teacher._average_model.module = Student(nn.Conv2d(1, 1, 1))
    batch = {"image": images(5, 2), "image_id": ["a", "b"], "valid": valid}
    found = teacher.consistency(student, batch)
    batch["valid"] = torch.ones(2, 4, 4, dtype=torch.bool)
    with torch.no_grad():
        said = [
            module(module.normalise(batch["image"]))["mask"].sigmoid()[:, 0]
            for module in (student, teacher._average_model.module)
        ]
    torch.testing.assert_close(found.detach(), F.mse_loss(said[0][valid], said[1][valid]))


def test_the_teacher_is_the_documented_average_of_students():
    module, _ = fit(Teacher(decay=0.7))
    average = module.trace[0]
    for t, (student, teacher) in enumerate(zip(module.trace, module.taught, strict=True)):
        share = min(1 - 1 / (t + 1), 0.7)
        average = {
            name: share * average[name] + (1 - share) * value if value.is_floating_point() else value
            for name, value in student.items()
        }
        for name, value in teacher.items():  # the norms' statistics are the student's, averaged, too
            torch.testing.assert_close(value, average[name], msg=f"{name} after step {t}")


@pytest.mark.parametrize("accumulated", [1, 3])
def test_steps_are_those_of_the_sum_of_both_losses(accumulated):
    """Against a plain loop with one backward pass of the sum."""
    teacher = Teacher(decay=0.6, weight=30.0, ramp_up=0.5, noise=0.2)
    module, trainer = fit(teacher, nn.Conv2d(1, 1, 1), accumulate_grad_batches=accumulated)
    again = Student(nn.Conv2d(1, 1, 1))
    plain = Teacher(decay=0.6, weight=30.0, ramp_up=0.5, noise=0.2)
    again.load_state_dict(module.start)
    average = copy.deepcopy(again)
    plain._average_model = nn.Module()
    plain._average_model.module = average
    optimizer = torch.optim.SGD(again.parameters(), lr=RATE)
    batches, unlabelled = list(Data().train_dataloader()), plain.batches(None)
    steps, total = 0, 6 // accumulated
    optimizer.zero_grad()
    for number in range(6):
        batch = batches[number % 3]
        supervised, _ = again.loss(again(*again.network_inputs(batch)), batch)
        extra = plain.consistency(again, next(unlabelled))
        plain.drawn += 1
        x = steps / total
        ramp = 1.0 if x >= 0.5 else math.exp(-5 * (1 - x / 0.5) ** 2)
        ((supervised + 30 * ramp * extra) / accumulated).backward()
        if (number + 1) % accumulated:
            continue
        optimizer.step()
        optimizer.zero_grad()
        share = min(1 - 1 / (steps + 1), 0.6)
        for mine, theirs in zip(average.parameters(), again.parameters(), strict=True):
            mine.data.lerp_(theirs.data, 1 - share)
        steps += 1
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, module.trace[-1][name], msg=name)
    assert trainer.global_step == total
    assert trainer.callback_metrics["train/consistency"] > 0


def test_ramp_is_the_papers():
    teacher = MeanTeacher(ramp_up=0.2)
    assert teacher.ramp(0) == pytest.approx(math.exp(-5))
    assert teacher.ramp(0.1) == pytest.approx(math.exp(-1.25))
    assert teacher.ramp(0.2) == teacher.ramp(1) == 1
    assert MeanTeacher(ramp_up=0).ramp(0) == 1


def test_student_and_teacher_see_other_noise_of_the_stated_strength():
    module = Student(nn.Identity())
    teacher = MeanTeacher(noise=0.15)
    batch = {"image": torch.full((1, 1, 300, 300), 128, dtype=torch.uint8), "image_id": ["a"]}
    one, two = (module.normalise(view["image"]) for view in teacher.views(module, batch, rank=0))
    clean = module.normalise(batch["image"])
    for view in (one, two):
        assert (view - clean).std().item() == pytest.approx(0.15, rel=0.02)
    assert (one - two).std().item() == pytest.approx(0.15 * math.sqrt(2), rel=0.02)
    other = module.normalise(teacher.views(module, batch, rank=1)[0]["image"])
    assert not torch.equal(one, other)


def test_weights_and_activations_of_outputs():
    module = SegmentationModule(
        nn.Identity(), outputs=["a", "b"], loss="bce", activations={"b": "softmax"}, mean=0.0, std=1.0, input_range=1.0
    )
    said = {"a": torch.randn(2, 1, 3, 3), "b": torch.randn(2, 4, 3, 3)}
    taught = {name: torch.randn_like(value) for name, value in said.items()}
    teacher = MeanTeacher(outputs={"a": 1.0, "b": 0.001}, noise=0.0)
    teacher._average_model = nn.Module()
    teacher._average_model.module = lambda image: taught
    module.forward = lambda image: said
    found = teacher.consistency(module, {"image": torch.zeros(2, 1, 3, 3)})
    expected = F.mse_loss(said["a"].sigmoid(), taught["a"].sigmoid())
    expected = expected + 0.001 * F.mse_loss(said["b"].softmax(1), taught["b"].softmax(1))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("evaluate", ["teacher", "student"])
def test_checkpoints_predict_with_the_chosen_one_and_resume_exactly(tmp_path, evaluate):
    def teacher():
        return Teacher(decay=0.8, weight=10.0, evaluate=evaluate)

    whole, _ = fit(teacher(), folder=tmp_path, epochs=2)
    content = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)
    chosen = whole.taught[2] if evaluate == "teacher" else whole.trace[2]
    for name, value in content["state_dict"].items():
        assert torch.equal(value, chosen[name]), name
    rest, _ = fit(teacher(), resume=tmp_path / "epoch=0.ckpt", epochs=2)
    for kind in ("trace", "taught"):
        for name, value in getattr(whole, kind)[-1].items():
            assert torch.equal(value, getattr(rest, kind)[-1][name]), (kind, name)
    final = whole.taught[-1] if evaluate == "teacher" else whole.trace[-1]
    assert all(torch.equal(value, final[name]) for name, value in whole.state_dict().items())


def test_a_gradient_scaler_scales_both_losses():
    from pytorch_lightning.plugins import MixedPrecision

    class Scaled(MixedPrecision):
        def __init__(self):
            super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**10))

        def autocast_context_manager(self):
            return torch.autocast("cpu", enabled=False)

    plain, _ = fit(Teacher(weight=30.0))
    scaled, _ = fit(Teacher(weight=30.0), plugins=[Scaled()])
    for name, value in plain.trace[-1].items():
        torch.testing.assert_close(value, scaled.trace[-1][name], msg=name)


def test_wrong_settings():
    with pytest.raises(ValueError, match="decay is 1"):
        MeanTeacher(decay=1)
    with pytest.raises(ValueError, match="ramp_up 2"):
        MeanTeacher(ramp_up=2)
    with pytest.raises(ValueError, match=r"names \['label'\], but model.outputs are \['mask'\]"):
        fit(Teacher(outputs={"label": 1.0}))

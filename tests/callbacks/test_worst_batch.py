import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader, Dataset

from callbacks.worst_batch import WorstBatch

LOSSES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9.5, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3]
WORST = [9, 9.5]  # of the first and second ten


class Scripted(Dataset):
    """Batch i has the loss that the script says, whatever the weights are."""

    def __len__(self):
        return len(LOSSES)

    def __getitem__(self, index):
        return {"x": torch.tensor([float(LOSSES[index])]), "image_id": f"i{index}"}


class Script(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.layer.weight)
        self.trace, self.steps, self.pending, self.logged = [], 0, [], []

    def training_step(self, batch, batch_idx):
        value = batch["x"].mean()
        self.trace.append(value.item())
        self.log("train/loss", value)
        # The value is scripted, its gradient is the value too.
        loss = value * self.layer(torch.ones(1, 1)).squeeze()
        return loss - loss.detach() + value

    def optimizer_step(self, epoch, batch_idx, optimizer, closure):
        self.steps += 1
        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.pending.append(any(p.grad is not None for p in self.parameters()))
        self.logged.append(self.trainer.callback_metrics["train/loss"].item())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1e-3)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 5), "interval": "step"}]


def trainer(callback, **settings):
    settings = {"max_epochs": 1, "enable_checkpointing": False, "accelerator": "cpu"} | settings
    return pl.Trainer(
        callbacks=[callback] if callback else [],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def fit(callback, **settings):
    module, runner = Script(), trainer(callback, **settings)
    runner.fit(module, DataLoader(Scripted()))
    return module, runner


def test_the_worst_of_each_ten_is_repeated_once_right_after_them():
    module, runner = fit(WorstBatch(every=10))
    assert module.trace == [*LOSSES[:10], WORST[0], *LOSSES[10:20], WORST[1], *LOSSES[20:]]
    assert module.steps == len(LOSSES) + 2


def test_extra_steps_move_the_weights_by_their_own_gradient_and_nothing_else():
    module, _ = fit(WorstBatch(every=10))
    rates = [1e-3 * 0.1 ** (i // 5) for i in range(len(LOSSES))]
    moved = sum(rate * value for rate, value in zip(rates, LOSSES, strict=True))
    moved += rates[10] * WORST[0] + rates[20] * WORST[1]  # the schedule has moved on by ten regular steps
    assert module.layer.weight.item() == pytest.approx(1 - moved, rel=1e-5)


def test_global_step_schedule_and_log_are_those_of_regular_batches():
    module, runner = fit(WorstBatch(every=10))
    plain, other = fit(None)
    assert runner.global_step == other.global_step == len(LOSSES)
    assert runner.optimizers[0].param_groups[0]["lr"] == other.optimizers[0].param_groups[0]["lr"]
    assert module.logged == plain.logged == LOSSES


def test_with_accumulation_the_extra_step_waits_for_the_regular_one():
    module, runner = fit(WorstBatch(every=10), accumulate_grad_batches=4)
    # Steps after batches 4, 8, 12, …: the first ten's worst follows batch 12, and may not be lost in between.
    assert module.trace == [*LOSSES[:12], WORST[0], *LOSSES[12:20], WORST[1], *LOSSES[20:]]
    assert runner.global_step == 7
    assert module.steps == 7 + 2
    assert not any(module.pending[i] for i in (11, 19))


class Scaled(MixedPrecision):
    """16-bit's gradient scaler; its autocast is for GPUs."""

    def __init__(self):
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**7, growth_interval=4))

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"plugins": [Scaled()]}], ids=["bf16", "scaler"])
def test_with_mixed_precision(settings):
    module, _ = fit(WorstBatch(every=10), **settings)
    assert module.trace.count(WORST[0]) >= 2
    assert module.steps == len(LOSSES) + 2
    reference, _ = fit(WorstBatch(every=10))
    assert module.layer.weight.item() == pytest.approx(reference.layer.weight.item(), rel=1e-2)


def test_clipping_applies_to_the_extra_step():
    module, _ = fit(WorstBatch(every=10), gradient_clip_val=1.0)
    rates = [1e-3 * 0.1 ** (i // 5) for i in range(len(LOSSES))]
    assert module.layer.weight.item() == pytest.approx(1 - sum(rates) - rates[10] - rates[20], rel=1e-4)


def test_a_resumed_run_repeats_what_the_whole_one_does(tmp_path):
    """25 batches an epoch: the third ten begins in the first epoch and ends in the second."""
    keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, filename="{epoch}")
    whole, callback = Script(), WorstBatch(every=10)
    runner = trainer(callback, max_epochs=2, enable_checkpointing=True, default_root_dir=tmp_path)
    runner.callbacks.append(keep)
    runner.fit(whole, DataLoader(Scripted()))
    third = max(LOSSES[20:] + LOSSES[:5])
    assert whole.trace[27:33] == [*LOSSES[:5], third]

    kept = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)["callbacks"]["WorstBatch"]["ranks"][0]
    assert kept["seen"] == 5
    assert kept["worst"][0] == 6
    assert kept["worst"][2]["image_id"] == ["i20"]
    again = Script()
    trainer(WorstBatch(every=10), max_epochs=2).fit(
        again, DataLoader(Scripted()), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True
    )
    assert again.trace == whole.trace[27:]
    assert again.layer.weight.item() == whole.layer.weight.item()


def test_checkpoint_of_another_number_of_ranks_starts_a_new_ten():
    callback = WorstBatch()
    callback.load_state_dict({"ranks": [{"seen": 3, "worst": (1.0, 0, {}), "due": None}] * 2})
    assert (callback.seen, callback.worst, callback.due) == (0, None, None)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="every is 0"):
        WorstBatch(every=0)
    module = Script()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match="automatic_optimization"):
        WorstBatch().setup(None, module, "fit")

"""Learning-rate schedules that torch lacks, and what its own ones need to know about a run."""

import bisect
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.trainer.states import TrainerFn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from compat.torch import lacks_length

Scheduler = LRScheduler | ReduceLROnPlateau


class WarmupCosine(LRScheduler):
    """Linear warm-up, then half a cosine down to `final` times the learning rate.

    Its clock is the run's progress in 0..1, which the LightningModule sets before every step to
    max(step / total steps, elapsed / `trainer.max_time`): a run that is stopped by the clock has been annealed
    all the same, one that is stopped by its epochs too.

    Args:
        optimizer: given by the LightningModule.
        warmup: share of the run that is spent warming up. 0.05: large enough for AdamW's second moments.
        start: learning-rate factor at the first step.
        final: learning-rate factor at the end.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.05, start: float = 0.02, final: float = 0.001):
        if not 0 <= warmup < 1:
            raise ValueError(f"WarmupCosine: warmup is a share of the run in [0, 1), got {warmup}")
        self.warmup, self.start, self.final = warmup, start, final
        self.progress = 0.0
        super().__init__(optimizer)

    def factor(self) -> float:
        """Learning-rate factor at the present progress."""
        if self.progress < self.warmup:
            return self.start + (1 - self.start) * self.progress / self.warmup
        share = min(1.0, (self.progress - self.warmup) / (1 - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        return [base * self.factor() for base in self.base_lrs]


class Piecewise(LRScheduler):
    """A table: this learning rate for so many epochs, then that one, the last one to the end.

    HPA 2018's 1st place: `rates: [3e-4, 1.5e-4, 7.5e-5, 3e-5, 1e-5]`, `epochs: [25, 5, 5, 5, 5]`. A group whose rate is
    a multiple of the optimizer's (`model.layer_decay`, a loss with its own) stays so: a rate of the table is that of a
    group with the optimizer's `lr`.

    Args:
        optimizer: given by the LightningModule.
        rates: learning rates in the order they are used.
        epochs: how many epochs each of them holds; may leave out the last one's.
    """

    def __init__(self, optimizer: Optimizer, rates: list[float], epochs: list[int]) -> None:
        if not rates or len(epochs) not in (len(rates), len(rates) - 1) or min([1, *epochs]) < 1:
            raise ValueError(
                f"Piecewise: {len(rates)} rates {rates} with epochs {epochs}; expected a number of epochs of 1 or "
                "more for each rate (the last one may lack it)"
            )
        self.rates = list(rates)
        self.ends = list(itertools.accumulate(epochs[: len(rates) - 1]))
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        rate = self.rates[bisect.bisect_right(self.ends, self.last_epoch)]
        return [rate * base / self.optimizer.defaults["lr"] for base in self.base_lrs]


def make_scheduler(
    make: Callable[..., Scheduler], optimizer: Optimizer, trainer: pl.Trainer, monitor: str
) -> Scheduler:
    """A scheduler with what it must know about the run.

    Args:
        make: the scheduler without its optimizer.
        optimizer: with the rates of its groups set.
        trainer: knows the length of the run and the direction of the competition's metric.
        monitor: value that a plateau scheduler watches.

    Raises:
        ValueError: `OneCycleLR` in a run that only the clock ends; a finder beside a schedule with rates of its own.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        scheduler = make(optimizer)
    except ValueError as error:
        if not lacks_length(error):
            raise
        steps = trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                "OneCycleLR needs the number of steps: set trainer.max_epochs or trainer.max_steps beside max_time, or "
                "take lightning_modules.WarmupCosine, which follows the clock"
            ) from error
        scheduler = make(optimizer, total_steps=int(steps))
    direction = score_mode(trainer)
    if isinstance(scheduler, ReduceLROnPlateau) and monitor == "val/score" and direction not in (None, scheduler.mode):
        scheduler = make(optimizer, mode=direction)
    found = any(isinstance(callback, LearningRateFinder) for callback in trainer.callbacks)
    if found and isinstance(scheduler, OneCycleLR | CyclicLR | Piecewise):
        raise ValueError(
            f"LearningRateFinder: {type(scheduler).__name__} has rates of its own, which the found one would not "
            "change; find with model.scheduler null, then write it into the schedule"
        )
    if isinstance(scheduler, OneCycleLR | CyclicLR):
        _keep_ratios(scheduler, rates)
    return scheduler


def resume_schedules(trainer: pl.Trainer, make: Callable[..., Scheduler] | None) -> float | None:
    """Fit the schedules of a resumed run to its length as it is now: more epochs, fewer, batches of another size.

    `OneCycleLR` is stretched, what follows the run's progress (`WarmupCosine`) goes on at the share that is done now,
    and those whose config names epochs or steps go on by these.

    Args:
        trainer: after the checkpoint is restored, before its first step.
        make: the scheduler without its optimizer, as configured.

    Returns:
        Steps of the run where some are done already; None in a new run and in one that only the clock ends.
    """
    done = round(trainer.global_step / max(1, len(trainer.optimizers)))
    if done == 0 or trainer.estimated_stepping_batches == float("inf"):
        return None
    total = steps_of_run(trainer, done)
    for settings in trainer.lr_scheduler_configs:
        if isinstance(settings.scheduler, OneCycleLR) and make is not None:
            stretch_one_cycle(settings.scheduler, make, total)
    return total


def stretch_one_cycle(scheduler: OneCycleLR, make: Callable[..., Scheduler], total: int) -> None:
    """Lay a resumed cycle over the run as it is now, where its length is the run's.

    torch keeps the length of the run that wrote the checkpoint: with more epochs or smaller batches the schedule would
    end in an error, with fewer it would not come to its end. The steps that are done stay done; what is left of the
    cycle is that of a run of the new length.

    Args:
        scheduler: as the checkpoint left it.
        make: the scheduler without its optimizer, as configured.
        total: steps of the run.
    """
    done, before = scheduler.last_epoch, int(scheduler.total_steps)
    if done <= 0 or total == before or _has_length(make):
        return
    optimizer = scheduler.optimizer
    tops = [group["max_lr"] for group in optimizer.param_groups]
    fresh = make(optimizer, total_steps=total)
    for group, top in zip(optimizer.param_groups, tops, strict=True):  # each group's own, as `_keep_ratios` left it
        scale = top / group["max_lr"]
        for key in ("lr", "initial_lr", "max_lr", "min_lr"):
            group[key] *= scale
    fresh.last_epoch = done - 1
    with warnings.catch_warnings():  # torch takes this for a step of the training
        warnings.simplefilter("ignore")
        fresh.step()
    # The trainer, its callbacks and the checkpoint hold the old object.
    scheduler.load_state_dict(fresh.state_dict())
    print(f"OneCycleLR: the run has {total} steps now, {before} before; the cycle goes on at step {done} of {total}")


def steps_of_run(trainer: pl.Trainer, done: int) -> int:
    """Optimizer steps of a whole run, of which some are done already, perhaps with batches of another size."""
    total = trainer.estimated_stepping_batches
    total = int(total)
    if trainer.max_epochs is None or trainer.max_epochs <= 0 or trainer.max_steps > 0:
        return max(total, done)
    per_epoch, epoch = total / trainer.max_epochs, trainer.current_epoch
    if epoch * per_epoch <= done <= (epoch + 1) * per_epoch:
        return max(total, done)
    return done + max(0, math.ceil((trainer.max_epochs - epoch) * per_epoch))


def _has_length(make: Callable[..., Scheduler]) -> bool:
    """Whether the config says how many steps the cycle has."""
    try:
        make(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9))
    except ValueError:
        return False
    return True


def scheduler_settings(
    scheduler: Scheduler,
    trainer: pl.Trainer,
    monitor: str,
    interval: Literal["step", "epoch"] | None,
    frequency: int,
) -> dict[str, Any]:
    """How Lightning moves a scheduler: `lr_scheduler` of what `configure_optimizers` returns.

    Raises:
        ValueError: an interval or frequency of a plateau scheduler, which moves at each validation.
    """
    settings = {"scheduler": scheduler, "monitor": monitor}
    if not isinstance(scheduler, ReduceLROnPlateau):
        return settings | {"interval": interval or interval_of(scheduler), "frequency": frequency}
    if interval is not None or frequency != 1:
        raise ValueError(
            "a plateau scheduler moves at each validation: leave out model.scheduler_interval and "
            "scheduler_frequency, set trainer.check_val_every_n_epoch"
        )
    # Lightning looks for a value all the same: when there is one, and not in its finders' runs without scores.
    return settings | {"frequency": trainer.check_val_every_n_epoch or 1, "strict": False}


def interval_of(scheduler: Scheduler) -> Literal["step", "epoch"]:
    """When a scheduler moves unless it is told: each step where its arguments count steps or it follows progress."""
    return "step" if isinstance(scheduler, OneCycleLR | CyclicLR | WarmupCosine) else "epoch"


def progress_of(trainer: pl.Trainer) -> float:
    """Share of a run that is over: max(step / total steps, elapsed / time budget)."""
    # A run that was resumed with batches of another size has another length than its epochs tell.
    total = getattr(trainer.lightning_module, "steps_of_run", None) or trainer.estimated_stepping_batches
    # Each optimizer's step counts in Lightning's global step, but not in the length of the run.
    steps = trainer.global_step / max(1, len(trainer.optimizers))
    share = steps / total if total and total != float("inf") else 0.0
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, pl.callbacks.Timer)), None)
    if timer is not None and timer.time_remaining() is not None:
        elapsed = timer.time_elapsed()
        share = max(share, elapsed / max(elapsed + timer.time_remaining(), 1e-9))
    return min(1.0, share)


class StepOnValidation(pl.Callback):
    """Moves plateau schedulers when a validation ends, before its checkpoint is written.

    Lightning moves them at the end of the epoch: a checkpoint then lacks the validation that it was written after, and
    a resumed run waits an epoch longer. It would also count a validation again in each epoch that has none.
    """

    def __init__(self) -> None:
        self.seen = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self.seen = True
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau:
                if config.monitor not in trainer.callback_metrics:
                    known = ", ".join(sorted(trainer.callback_metrics))
                    raise ValueError(f"model.scheduler_monitor: nothing logs {config.monitor!r}; there are {known}")
                config.scheduler.step(float(trainer.callback_metrics[config.monitor]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0 and not trainer.should_stop
        if due and not self.seen and any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
            raise ValueError(
                "a plateau scheduler needs validations, but nothing is validated (data.fold all, or "
                "trainer.limit_val_batches 0); take a schedule that follows steps or epochs"
            )


def score_mode(trainer: pl.Trainer) -> Literal["min", "max"] | None:
    """The better direction of `val/score`; None where nothing computes it."""
    for callback in trainer.callbacks:
        if hasattr(callback, "competition"):
            return "max" if callback.competition.metric.higher_is_better else "min"
    return None


def _keep_ratios(scheduler: OneCycleLR | CyclicLR, rates: list[float]) -> None:
    """Undo that these two give every group the same rates: groups keep their `lr_scale`, a loss its own top rate."""
    groups = scheduler.optimizer.param_groups
    for index, (group, rate) in enumerate(zip(groups, rates, strict=True)):
        plain = scheduler.optimizer.defaults["lr"] * group.get("lr_scale", 1.0)
        own = rate != plain  # a loss with a learning rate of its own
        if isinstance(scheduler, OneCycleLR):
            scale = rate / group["max_lr"] if own else group.get("lr_scale", 1.0)
            for key in ("lr", "initial_lr", "max_lr", "min_lr"):
                group[key] *= scale
        else:
            scale = rate / scheduler.max_lrs[index] if own else group.get("lr_scale", 1.0)
            scheduler.max_lrs[index] *= scale
            scheduler.base_lrs[index] *= scale
            group["lr"] *= scale

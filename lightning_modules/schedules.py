"""Learning rate schedules missing from torch, and adaptation of torch's schedules to a run."""

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
from pytorch_lightning.utilities import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from compat.torch import lacks_length

Scheduler = LRScheduler | ReduceLROnPlateau


class WarmupCosine(LRScheduler):
    """Linear warm-up, then half a cosine down to `final` times the learning rate.

    It follows the progress of the run in [0, 1], which the LightningModule sets before every step to max(step / total
    steps, elapsed / `trainer.max_time`): the learning rate is annealed whether the run ends by time or by epochs.

    Args:
        optimizer: set by the LightningModule.
        warmup: warm-up as a fraction of the run, in [0, 1); 0.05 is long enough for AdamW's second moments.
        start: learning rate factor at the first step.
        final: learning rate factor at the end.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.05, start: float = 0.02, final: float = 0.001):
        if not 0 <= warmup < 1:
            raise ValueError(f"WarmupCosine: warmup is {warmup}, expected a fraction of the run in [0, 1)")
        self.warmup, self.start, self.final = warmup, start, final
        self.progress = 0.0
        super().__init__(optimizer)

    def factor(self) -> float:
        """Learning rate factor at the current progress."""
        if self.progress < self.warmup:
            return self.start + (1 - self.start) * self.progress / self.warmup
        share = min(1.0, (self.progress - self.warmup) / (1 - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        return [base * self.factor() for base in self.base_lrs]


class Piecewise(LRScheduler):
    """Piecewise constant learning rate from a table; the last rate lasts until the end.

    HPA 2018's 1st place: `rates: [3e-4, 1.5e-4, 7.5e-5, 3e-5, 1e-5]`, `epochs: [25, 5, 5, 5, 5]`. The rates apply to
    groups with the optimizer's `lr`; other groups (`model.layer_decay`, a loss with its own rate) keep their ratio.

    Args:
        optimizer: set by the LightningModule.
        rates: learning rates, in order.
        epochs: number of epochs of each rate; that of the last may be omitted.
    """

    def __init__(self, optimizer: Optimizer, rates: list[float], epochs: list[int]) -> None:
        if not rates or len(epochs) not in (len(rates), len(rates) - 1) or min([1, *epochs]) < 1:
            raise ValueError(
                f"Piecewise: {len(rates)} rates {rates} with epochs {epochs}; expected 1 or more epochs per rate "
                "(optional for the last)"
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
    """Build a scheduler for a run.

    Args:
        make: scheduler class without its optimizer.
        optimizer: optimizer with the rates of its groups set.
        trainer: trainer, for the length of the run and the direction of the competition's metric.
        monitor: value that a plateau scheduler monitors.

    Raises:
        ValueError: `OneCycleLR` is used in a run limited by time only, or a learning rate finder with a schedule that
            sets its own rates.
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
                "OneCycleLR needs the number of steps: set trainer.max_epochs or trainer.max_steps in addition to "
                "max_time, or use lightning_modules.WarmupCosine, which follows the time"
            ) from error
        scheduler = make(optimizer, total_steps=int(steps))
    direction = score_mode(trainer)
    if isinstance(scheduler, ReduceLROnPlateau) and monitor == "val/score" and direction not in (None, scheduler.mode):
        scheduler = make(optimizer, mode=direction)
    found = any(isinstance(callback, LearningRateFinder) for callback in trainer.callbacks)
    if found and isinstance(scheduler, OneCycleLR | CyclicLR | Piecewise):
        raise ValueError(
            f"LearningRateFinder: {type(scheduler).__name__} sets its own rates and ignores the found one; run the "
            "finder with model.scheduler null, then set the found rate in the schedule"
        )
    if isinstance(scheduler, OneCycleLR | CyclicLR):
        _keep_ratios(scheduler, rates)
    return scheduler


def resume_schedules(trainer: pl.Trainer, make: Callable[..., Scheduler] | None) -> int | None:
    """Adapt the schedules of a resumed run to its new length (other number of epochs or batch size).

    `OneCycleLR` is stretched, schedules that follow the progress of the run (`WarmupCosine`) continue at its new value,
    and those configured in epochs or steps continue by these.

    Args:
        trainer: trainer after the checkpoint is restored, before its first step.
        make: scheduler class without its optimizer, as configured.

    Returns:
        Total steps of a resumed run; None for a new run and for one limited by time only.
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
    """Adapt a resumed cycle to the new length of the run, unless its length is configured.

    torch keeps the length of the run that wrote the checkpoint: with more epochs or smaller batches the schedule would
    raise an error, with fewer it would not finish. Completed steps are kept; the rest of the cycle is that of a run of
    the new length.

    Args:
        scheduler: scheduler restored from the checkpoint.
        make: scheduler class without its optimizer, as configured.
        total: total steps of the run.
    """
    done, before = scheduler.last_epoch, int(scheduler.total_steps)
    if done <= 0 or total == before or _has_length(make):
        return
    optimizer = scheduler.optimizer
    tops = [group["max_lr"] for group in optimizer.param_groups]
    fresh = make(optimizer, total_steps=total)
    for group, top in zip(optimizer.param_groups, tops, strict=True):  # per group, as set by `_keep_ratios`
        scale = top / group["max_lr"]
        for key in ("lr", "initial_lr", "max_lr", "min_lr"):
            group[key] *= scale
    fresh.last_epoch = done - 1
    with warnings.catch_warnings():  # torch treats this as a training step
        warnings.simplefilter("ignore")
        fresh.step()
    # Trainer, callbacks and checkpoint reference the old object.
    scheduler.load_state_dict(fresh.state_dict())
    rank_zero_info(
        f"OneCycleLR: the run has {total} steps instead of {before}; the cycle continues at step {done} of {total}"
    )


def steps_of_run(trainer: pl.Trainer, done: int) -> int:
    """Total optimizer steps of a resumed run, whose completed steps may have had another batch size."""
    total = int(trainer.estimated_stepping_batches)
    if trainer.max_epochs is None or trainer.max_epochs <= 0 or trainer.max_steps > 0:
        return max(total, done)
    per_epoch, epoch = total / trainer.max_epochs, trainer.current_epoch
    if epoch * per_epoch <= done <= (epoch + 1) * per_epoch:
        return max(total, done)
    return done + max(0, math.ceil((trainer.max_epochs - epoch) * per_epoch))


def _has_length(make: Callable[..., Scheduler]) -> bool:
    """Whether the config sets the number of steps of the cycle."""
    try:
        make(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9))
    except ValueError as error:  # settings per group do not fit this optimizer; torch looks at the length first
        return not lacks_length(error)
    return True


def scheduler_settings(
    scheduler: Scheduler,
    trainer: pl.Trainer,
    monitor: str,
    interval: Literal["step", "epoch"] | None,
    frequency: int,
) -> dict[str, Any]:
    """Lightning's settings of a scheduler: the entry `lr_scheduler` of `configure_optimizers`.

    Raises:
        ValueError: an interval or frequency is set for a plateau scheduler, which is updated at each validation.
    """
    settings = {"scheduler": scheduler, "monitor": monitor}
    if not isinstance(scheduler, ReduceLROnPlateau):
        return settings | {"interval": interval or interval_of(scheduler), "frequency": frequency}
    if interval is not None or frequency != 1:
        raise ValueError(
            "a plateau scheduler is updated at each validation: remove model.scheduler_interval and "
            "scheduler_frequency, set trainer.check_val_every_n_epoch instead"
        )
    # Lightning still looks up the monitored value: at validations only, and not strictly, as its finders log no scores.
    return settings | {"frequency": trainer.check_val_every_n_epoch or 1, "strict": False}


def interval_of(scheduler: Scheduler) -> Literal["step", "epoch"]:
    """Default interval of a scheduler: `step` if its arguments count steps or it follows the progress of the run."""
    return "step" if isinstance(scheduler, OneCycleLR | CyclicLR | WarmupCosine) else "epoch"


def progress_of(trainer: pl.Trainer, steps_of_run: int | None = None) -> float:
    """Completed fraction of a run: max(step / total steps, elapsed / time budget).

    Args:
        trainer: trainer of the run.
        steps_of_run: total steps of a resumed run, from `resume_schedules`; None: as many as its epochs have.
    """
    total = steps_of_run or trainer.estimated_stepping_batches
    # Lightning's global step counts the steps of every optimizer, the length of the run does not.
    steps = trainer.global_step / max(1, len(trainer.optimizers))
    share = steps / total if total and total != float("inf") else 0.0
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, pl.callbacks.Timer)), None)
    if timer is not None and timer.time_remaining() is not None:
        elapsed = timer.time_elapsed()
        share = max(share, elapsed / max(elapsed + timer.time_remaining(), 1e-9))
    return min(1.0, share)


class StepOnValidation(pl.Callback):
    """Updates plateau schedulers at the end of a validation, before its checkpoint is written.

    Lightning updates them at the end of the epoch: a checkpoint then lacks the validation just before it, and a resumed
    run waits one epoch longer. It would also count a validation again in each epoch without one.
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
                    raise ValueError(f"model.scheduler_monitor: {config.monitor!r} is not logged, only {known}")
                config.scheduler.step(float(trainer.callback_metrics[config.monitor]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0 and not trainer.should_stop
        if due and not self.seen and any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
            raise ValueError(
                "a plateau scheduler needs validations, but there are none (data.fold all, or "
                "trainer.limit_val_batches 0); use a schedule that follows steps or epochs"
            )


def score_mode(trainer: pl.Trainer) -> Literal["min", "max"] | None:
    """The direction of `val/score`; None if no callback computes it."""
    for callback in trainer.callbacks:
        if hasattr(callback, "competition"):
            return "max" if callback.competition.metric.higher_is_better else "min"
    return None


def _keep_ratios(scheduler: OneCycleLR | CyclicLR, rates: list[float]) -> None:
    """Restore the ratios of rates: these two schedulers set the same rates for groups with `lr_scale` or own rates."""
    groups = scheduler.optimizer.param_groups
    for index, (group, rate) in enumerate(zip(groups, rates, strict=True)):
        plain = scheduler.optimizer.defaults["lr"] * group.get("lr_scale", 1.0)
        own = rate != plain  # a loss with its own learning rate
        if isinstance(scheduler, OneCycleLR):
            scale = rate / group["max_lr"] if own else group.get("lr_scale", 1.0)
            for key in ("lr", "initial_lr", "max_lr", "min_lr"):
                group[key] *= scale
        else:
            scale = rate / scheduler.max_lrs[index] if own else group.get("lr_scale", 1.0)
            scheduler.max_lrs[index] *= scale
            scheduler.base_lrs[index] *= scale
            group["lr"] *= scale

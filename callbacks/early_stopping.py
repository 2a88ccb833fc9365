"""Early stopping by the competition's score."""

from typing import Literal

from pytorch_lightning import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Stops when the monitored value no longer improves; Lightning's class with `val/score` as default monitor.

    `--early_stopping.patience 3` is enough on the command line. For `val/score`, `mode` is set to the direction of the
    metric.

    Args:
        monitor: logged value to monitor.
        patience: number of validations without improvement before training stops.
        min_delta: smallest change that counts as an improvement.
        mode: `max` if higher is better, `min` if lower.
        stopping_threshold: value at which, or beyond which, training stops immediately.
        divergence_threshold: value below which (`max`) or above which (`min`) training stops immediately.
    """

    def __init__(
        self,
        monitor: str = "val/score",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "max",
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        super().__init__(
            monitor=monitor,
            patience=patience,
            min_delta=min_delta,
            mode=mode,
            stopping_threshold=stopping_threshold,
            divergence_threshold=divergence_threshold,
        )

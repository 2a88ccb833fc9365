"""Early stopping on the competition's score."""

from typing import Literal

from pytorch_lightning import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Stop when the monitored value has stalled; Lightning's own class with `val/score` as its default monitor.

    So `--early_stopping.patience 3` is enough on the command line. `mode` follows the metric's direction by itself
    while `val/score` is monitored.

    Args:
        monitor: logged value to watch.
        patience: validations without improvement that are waited for.
        min_delta: smallest change that counts as an improvement.
        mode: `max` when higher is better.
        stopping_threshold: stop at once when the value is at least this good.
        divergence_threshold: stop at once when the value is worse than this.
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

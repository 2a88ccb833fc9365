"""The training verbs' own parser."""

import pytest
import pytorch_lightning as pl
from jsonargparse import Namespace

from commands.command_line.training import CHECKPOINT_DEFAULTS, Parser, resolve_monitors

LIMITS = ["limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"]


@pytest.mark.parametrize("key", [*LIMITS, "overfit_batches", "val_check_interval"])
@pytest.mark.parametrize("value", [1, 1.0, 0.5, 3])
def test_one_batch_is_not_the_whole_set(key, value):
    """Lightning takes 1 for one batch and 1.0 for all; on the command line and in YAML."""
    parser = Parser()
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    for found in (parser.parse_args([f"--trainer.{key}", str(value)]), parser.parse_object({"trainer": {key: value}})):
        assert found.trainer[key] == value
        assert type(found.trainer[key]) is type(value)


@pytest.mark.parametrize("metric", ["Accuracy", "LogLoss"])
@pytest.mark.parametrize("fold", [0, "given", "all"])
@pytest.mark.parametrize("monitor", ["val/score", "val/loss", None])
def test_what_is_monitored_follows_metric_and_fold(metric, fold, monitor):
    """Without validation nothing is: early stopping would end the run with an error after its first epoch."""
    stopping = None if monitor is None else Namespace(init_args=Namespace(monitor=monitor, mode="max", patience=3))
    config = Namespace(
        competition=Namespace(metric=Namespace(class_path=f"evaluation.metrics.{metric}")),
        checkpoint=Namespace(**CHECKPOINT_DEFAULTS, save_top_k=1),
        early_stopping=stopping,
        data=Namespace(init_args=Namespace(fold=fold)),
    )
    resolve_monitors(config)
    own = "min" if metric == "LogLoss" else "max"
    if fold == "all":
        assert (config.checkpoint.monitor, config.checkpoint.save_top_k, config.early_stopping) == (None, 0, None)
        return
    assert (config.checkpoint.monitor, config.checkpoint.mode, config.checkpoint.save_top_k) == ("val/score", own, 1)
    assert config.early_stopping is stopping
    if stopping is not None:
        assert stopping.init_args.mode == (own if monitor == "val/score" else "max")

"""The training verbs' own parser."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace

import cli
from commands.command_line.training import CHECKPOINT_DEFAULTS, Parser, resolve_monitors
from experiments.lease import Lease

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


def test_of_several_nodes_only_the_first_takes_the_run_folder(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    pixel_images(8)
    Path("x.yaml").write_text(yaml.safe_dump(pixel_config("{}")))
    assert cli.main(["folds", "--config", "x.yaml"]) == 0
    run = Path("runs/x/fold0")
    run.mkdir(parents=True)
    first = Lease(run / "lease.json")
    first.take()
    try:
        with pytest.raises(SystemExit, match="is training in"):
            cli.main(["fit", "--config", "x.yaml"])
        monkeypatch.setenv("NODE_RANK", "1")
        assert cli.main(["fit", "--config", "x.yaml"]) == 0
        assert (run / "lease.json").is_file()
    finally:
        first.give_back()

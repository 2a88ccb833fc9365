"""The training verbs' own parser."""

import pytest
import pytorch_lightning as pl

from experiments.training import Parser

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

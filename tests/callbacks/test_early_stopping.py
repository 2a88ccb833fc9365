"""Stopping on the competition's score."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.demos.boring_classes import BoringModel

from callbacks import EarlyStopping


class Scores(BoringModel):
    """Logs a score that is given in advance, one for each validation."""

    def __init__(self, scores, name="val/score"):
        super().__init__()
        self.scores, self.name = scores, name

    def validation_step(self, batch, batch_idx):
        self.log(self.name, torch.tensor(self.scores[self.current_epoch]))


def epochs(tmp_path, model, stopping):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=len(model.scores),
        limit_train_batches=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        callbacks=[stopping],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model)
    return trainer.current_epoch


@pytest.mark.parametrize(
    ("scores", "changed", "expected"),
    [
        ([0.1, 0.3, 0.2, 0.2, 0.2, 0.9], {"patience": 2}, 4),  # by default the score, and higher is better
        ([0.1, 0.3, 0.2, 0.2, 0.2, 0.9], {"patience": 5}, 6),
        ([0.5, 0.4, 0.3, 0.4, 0.4, 0.1], {"patience": 2, "mode": "min"}, 5),
        ([0.1, 0.11, 0.12, 0.13, 0.14], {"patience": 2, "min_delta": 0.05}, 3),
        ([0.1, 0.8, 0.9], {"stopping_threshold": 0.7}, 2),
        ([0.5, 0.1, 0.9], {"divergence_threshold": 0.2}, 2),
    ],
)
def test_it_stops_where_it_should(tmp_path, scores, changed, expected):
    assert epochs(tmp_path, Scores(scores), EarlyStopping(**changed)) == expected


def test_another_value_may_be_watched(tmp_path):
    stopping = EarlyStopping("val/score_class0", patience=1)
    assert epochs(tmp_path, Scores([0.3, 0.2, 0.9], "val/score_class0"), stopping) == 2

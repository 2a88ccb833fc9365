"""Predictions go to disk as they come."""

import resource
import sys

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from callbacks import PredictionWriter
from datamodules.collate import collate_evaluation
from predictions.store import PredictionStore

SIDE, COUNT = 1024, 48


class Numbers(Dataset):
    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return {"image_id": f"{index:03d}", "image": torch.full((1, SIDE, SIDE), index / 255)}


class Data(pl.LightningDataModule):
    def predict_splits(self):
        return ["test"]

    def predict_ids(self, split):
        return [f"{index:03d}" for index in range(COUNT)]

    def predict_inputs(self, split):
        return {}

    def skip(self, split, ids):
        pass

    def predict_dataloader(self):
        return DataLoader(Numbers(), batch_size=2, collate_fn=collate_evaluation)


class Identity(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.peak = {}

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.peak[batch_idx] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return [{"mask": image.clone()} for image in batch["image"]]


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux alone")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    model = Identity()
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[PredictionWriter(tmp_path, "one")],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    assert trainer.predict(model, datamodule=Data(), return_predictions=False) is None
    store = PredictionStore.open(tmp_path / "test")
    assert len(store) == COUNT
    np.testing.assert_allclose(store.read("017")["mask"], 17 / 255, atol=1e-6)
    # Kept, the float32 maps of the last 16 batches would take 128 MiB.
    assert model.peak[23] - model.peak[7] < 40

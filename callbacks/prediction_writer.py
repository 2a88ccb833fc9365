"""Write predictions to a store on disk, batch by batch."""

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl

from callbacks.score import as_arrays
from lightning_modules.streamed import Streamed
from postprocessing.predictions import PredictionStore


class PredictionWriter(pl.Callback):
    """Write what `predict_step` returns into `<folder>/<split>/`, one entry per image, as it comes.

    Each rank writes its own images; an image that the loader repeated to give all ranks the same number of batches is
    written once. A run that was killed goes on where it stopped: images already there are left out of the loaders.

    Args:
        folder: the run's `predictions` folder.
        fingerprint: hash of everything the predictions depend on (checkpoint, inference settings); predictions of
            another fingerprint are dropped.
        dtype: number type of the stored probabilities; uint8 (steps of 1/255) is enough for any threshold.
    """

    def __init__(self, folder: Path, fingerprint: str, dtype: Literal["uint8", "float16", "float32"] = "uint8"):
        self.folder, self.fingerprint, self.dtype = Path(folder), fingerprint, dtype
        self.stores: list[PredictionStore] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "predict":
            return
        data = trainer.datamodule
        splits = data.predict_splits()
        self.stores = [PredictionStore(self.folder / split_folder(split)) for split in splits]
        if trainer.is_global_zero:
            for store, split in zip(self.stores, splits, strict=True):
                store.begin(data.predict_ids(split), fingerprint=self.fingerprint)
        trainer.strategy.barrier("prediction stores are ready")
        done = [store.ids() for store in self.stores] if trainer.is_global_zero else None
        for split, ids in zip(splits, trainer.strategy.broadcast(done), strict=True):
            data.skip(split, ids)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        store = self.stores[dataloader_idx]
        reasons = batch.get("unreadable", [""] * len(outputs))
        for image_id, prediction, reason in zip(batch["image_id"], outputs, reasons, strict=True):
            if image_id in store:
                continue
            if isinstance(prediction, Streamed):
                self._stream(store, image_id, prediction)
                continue
            arrays = as_arrays(prediction)
            if reason:
                warnings.warn(f"image {image_id!r} gets an empty prediction: {reason}", stacklevel=2)
                arrays = {name: nothing(array) for name, array in arrays.items()}
            store.write(image_id, arrays, dtype=self.dtype)

    def _stream(self, store: PredictionStore, image_id: str, prediction: Streamed) -> None:
        with store.file(image_id, self.dtype) as file:
            prediction.write(file)
            shapes, reason = file.shapes(), prediction.unreadable
            if reason:
                file.discard()  # half a picture: not even for a moment, in which the run may be killed
        if reason:
            warnings.warn(f"image {image_id!r} gets an empty prediction: {reason}", stacklevel=2)
            with store.file(image_id, self.dtype) as file:
                prediction.write_nothing(file, {name: shape for name, shape in shapes.items() if len(shape) > 2})

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.strategy.barrier("predictions are written")
        if trainer.is_global_zero:
            for store in self.stores:
                store.finish()


def nothing(array: np.ndarray) -> np.ndarray:
    """A prediction without a finding: maps of 0, no rows of a list (boxes); image-level outputs stay as they are."""
    if array.ndim == 2:
        return array[:0]
    return np.zeros_like(array) if array.ndim > 2 else array


def split_folder(split: str) -> str:
    """Folder name of a split: `val`, `test`, or the last part of an image folder's path."""
    return Path(split).name

"""Writing of predictions to a store on disk, batch by batch."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl

from callbacks.score import as_arrays
from lightning_modules.streamed_prediction import StreamedPrediction
from predictions.splits import split_folder
from predictions.store import PredictionStore
from preprocessing.sources import Looking, checkpoint_mark


class PredictionWriter(pl.Callback):
    """Writes the results of `predict_step` to `<folder>/<split>/`, one entry per image, batch by batch.

    Each rank writes its own images; images repeated by the loader to give all ranks the same number of batches are
    written once. After an interruption prediction resumes: images already predicted are skipped by the loaders.

    Args:
        folder: `predictions` folder of the run.
        fingerprint: hash of the weights and settings that predictions depend on; predictions of another fingerprint are
            deleted.
        checkpoint: name of the checkpoint (`best`, `last` or a path) and its file, or None.
        stores: other predictions that these depend on.
        dtype: type of the stored probabilities; uint8 (steps of 1/255) is enough for any threshold.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        checkpoint: tuple[str, Path] | None = None,
        stores: Sequence[PredictionStore] = (),
        dtype: Literal["uint8", "float16", "float32"] = "uint8",
    ) -> None:
        self.folder, self.fingerprint, self.checkpoint, self.dtype = Path(folder), fingerprint, checkpoint, dtype
        self.made_from = list(stores)
        self.stores: list[PredictionStore] = []
        self.looking: list[Looking] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "predict":
            return
        data = trainer.datamodule
        splits = data.predict_splits()
        folders = [split_folder(split) for split in splits]
        twice = next((name for name in folders if folders.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"data.predict_split has two splits whose predictions would be written to {self.folder / twice}: "
                f"{[split for split in splits if split_folder(split) == twice]}; predict one of them into another run "
                "folder: --run_folder"
            )
        self.stores = [PredictionStore(self.folder / split_folder(split)) for split in splits]
        self.looking = []
        if trainer.is_global_zero:
            for store, split in zip(self.stores, splits, strict=True):
                made_with = None
                if self.checkpoint is not None:
                    name, file = self.checkpoint
                    made_with = checkpoint_mark(self.folder.parent, name, file, store.path)
                inputs = data.predict_inputs(split)
                left = store.begin(data.predict_ids(split), self.fingerprint, inputs, made_with, self.made_from)
                self.looking.append(Looking({name: inputs[name] for name in left if name in inputs}))
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
            if isinstance(prediction, StreamedPrediction):
                self._stream(store, image_id, prediction)
                continue
            arrays = as_arrays(prediction)
            if reason:
                warnings.warn(f"image {image_id!r} gets an empty prediction: {reason}", stacklevel=2)
                arrays = {name: empty_prediction(array) for name, array in arrays.items()}
            store.write(image_id, arrays, dtype=self.dtype)

    def _stream(self, store: PredictionStore, image_id: str, prediction: StreamedPrediction) -> None:
        with store.file(image_id, self.dtype) as file:
            prediction.write(file)
            shapes, reason = file.shapes(), prediction.unreadable
            if reason:
                file.discard()  # half an image must not remain if the run is killed
        if reason:
            warnings.warn(f"image {image_id!r} gets an empty prediction: {reason}", stacklevel=2)
            with store.file(image_id, self.dtype) as file:
                prediction.write_nothing(file, {name: shape for name, shape in shapes.items() if len(shape) > 2})

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.strategy.barrier("predictions are written")
        if trainer.is_global_zero:
            for store, looking in zip(self.stores, self.looking, strict=True):
                store.finish(looking.result())


def empty_prediction(array: np.ndarray) -> np.ndarray:
    """An empty prediction: maps of 0, lists (boxes) without rows; image-level outputs are unchanged."""
    if array.ndim == 2:
        return array[:0]
    return np.zeros_like(array) if array.ndim > 2 else array

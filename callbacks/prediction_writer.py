"""Write predictions to a store on disk, batch by batch."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl

from callbacks.score import as_arrays
from lightning_modules.streamed_prediction import StreamedPrediction
from predictions.store import PredictionStore
from preprocessing.sources import Looking, checkpoint_mark


class PredictionWriter(pl.Callback):
    """Write what `predict_step` returns into `<folder>/<split>/`, one entry per image, as it comes.

    Each rank writes its own images; an image that the loader repeated to give all ranks the same number of batches is
    written once. A run that was killed goes on where it stopped: images already there are left out of the loaders.

    Args:
        folder: the run's `predictions` folder.
        fingerprint: hash of the weights and settings that the predictions depend on; predictions of another
            fingerprint are dropped.
        checkpoint: that is predicted with, `best`, `last` or a path, and its file; None where there is none.
        stores: other predictions that these depend on.
        dtype: number type of the stored probabilities; uint8 (steps of 1/255) is enough for any threshold.
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
                f"data.predict_split names two splits whose predictions would lie in {self.folder / twice}: "
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
                arrays = {name: nothing(array) for name, array in arrays.items()}
            store.write(image_id, arrays, dtype=self.dtype)

    def _stream(self, store: PredictionStore, image_id: str, prediction: StreamedPrediction) -> None:
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
            for store, looking in zip(self.stores, self.looking, strict=True):
                store.finish(looking.result())


def nothing(array: np.ndarray) -> np.ndarray:
    """A prediction without a finding: maps of 0, no rows of a list (boxes); image-level outputs stay as they are."""
    if array.ndim == 2:
        return array[:0]
    return np.zeros_like(array) if array.ndim > 2 else array


def split_folder(split: str) -> str:
    """Folder name of a split: `val`, `test`, or the last part of an image folder's path."""
    return Path(split).name

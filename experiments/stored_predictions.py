"""Stored predictions of the runs of an experiment."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.fold_stores import open_store
from experiments.whole_set import Changed, changed_outputs, fold_numbers
from postprocessing.search import SearchImage
from predictions.store import PredictionStore, read_finite, read_mean


def out_of_fold(config: OfflineConfig) -> list[SearchImage]:
    """Validation images of all folds, with out-of-fold predictions and targets."""
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    images: dict[str, SearchImage] = {}
    runs: dict[str, Path] = {}
    stores: dict[Path, PredictionStore] = {}
    config.data.prepare_data()
    rows = {row.image_id: row for row in rows_of(config.data.table())}
    groups = config.data.groups()
    for run in config.runs:
        store = stores[run.path] = open_store(config.data, run, "val")
        known = run.read_facts().get("folds_hash")
        if known is not None and Path(config.data.folds).is_file() and known != config.data.folds_hash():
            raise SystemExit(
                f"error: {config.data.folds} has changed since {run.path} was trained; restore it from {run.folds}"
            )
        for image_id in store.ids():
            if image_id in images:
                raise SystemExit(f"error: image {image_id!r} has out-of-fold predictions in two runs, one {run.path}")
            read, target = partial(read_finite, store, image_id), partial(config.data.target_arrays, rows[image_id])
            images[image_id] = SearchImage(image_id, read, target, groups.get(image_id))
            runs[image_id] = run.path
    if config.competition.dataset_postprocess:
        folds = fold_numbers(config, runs)
        changed = changed_outputs(
            config, list(images), lambda name, outputs: stores[runs[name]].read(name, outputs), folds
        )
        images = {
            name: case._replace(prediction=Changed(case.prediction, changed[name])) for name, case in images.items()
        }
    return list(images.values())


def mean_of_folds(stores: list[PredictionStore]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Test predictions averaged over folds, one image at a time."""
    ids = stores[0].ids()
    for store in stores[1:]:
        if store.ids() != ids:
            raise SystemExit(f"error: {store.path} and {stores[0].path} contain different image ids; run predict again")
    for image_id in ids:
        yield image_id, read_mean(stores, image_id)


def test_predictions(
    config: OfflineConfig, stores: list[PredictionStore]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """`mean_of_folds` with `dataset_postprocess` applied."""
    changed: dict[str, dict[str, np.ndarray]] = {}
    if config.competition.dataset_postprocess:

        def read(image_id: str, names: list[str]) -> dict[str, np.ndarray]:
            return read_mean(stores, image_id, names)

        changed = changed_outputs(config, stores[0].ids(), read, {})
    for image_id, mean in mean_of_folds(stores):
        yield image_id, mean | changed.get(image_id, {})

"""Repeated K-fold of a second-level model: every row is predicted by models trained without it and its group."""

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ensembling.stacking.features import Table
from ensembling.stacking.models import Model, Target
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds
from files.paths import text_hash
from files.progress import progress
from files.writing import write_arrays

Predicted = dict[str, np.ndarray]
OUT_OF_FOLD = "val"
FOLD_BINS = 5


def divisions(
    ids: Sequence[str], groups: dict[str, str], target: Target | None, folds: int, repeats: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """Fold of every image `(N,)` for each repetition; the first 10 of 30 repetitions equal those of 10.

    Args:
        ids: image ids.
        groups: group (patient, slide) of each image id, which stays in one fold; others are groups of their own.
        target: target of each image; its classes, labels or numbers (in five bins) are stratified. None: random folds.
        folds: number of folds K.
        repeats: number of repetitions, each with its own folds.
        seed: seed of the folds.

    Raises:
        ValueError: fewer groups than folds.
    """
    table = pd.DataFrame({"image_id": list(ids), "group": [groups.get(one, f"image {one}") for one in ids]})
    chosen = CrossValidation(k=folds, group="group", duplicates=False, seed=seed)
    if target is not None:
        table["stratum"] = _strata(target)
        labels = target.kind == "flags" and target.classes > 1
        chosen = replace(chosen, stratify="stratum", separator=" " if labels else None)
    for repeat in range(repeats):
        yield make_folds(table, replace(chosen, repeat=repeat))["fold"].to_numpy()


def _strata(target: Target) -> list[str]:
    """Strata of the folds as text."""
    if target.kind == "class":
        return [str(value) for value in target.values]
    if target.kind == "flags" and target.classes > 1:
        return [" ".join(map(str, np.flatnonzero(row))) for row in target.values]
    values = target.values[:, 0]
    if target.kind == "number":  # bins of equal size
        values = np.argsort(np.argsort(values, kind="stable")) * FOLD_BINS // len(values)
    return [str(value) for value in values]


def cross_fit(
    table: Table, target: Target, others: dict[str, Table], model: Model, fold: np.ndarray, seed: int
) -> Predicted:
    """Run one repetition: a model per fold.

    Args:
        table: features of the images with known targets.
        target: target of each row.
        others: features of other splits.
        model: model to fit without the images of a fold.
        fold: fold of each image `(N,)`.
        seed: seed of the models.

    Returns:
        `val`: prediction of every row `(R, C)` by the model trained without its fold; for every other split the mean of
        all models.
    """
    at = fold[table.owner]
    numbers = np.unique(at)
    if len(numbers) < 2:
        raise ValueError(f"all rows are in fold {numbers[0] if len(numbers) else '?'}, expected two or more folds")
    result = {OUT_OF_FOLD: np.full((len(table.values), target.classes), np.nan, np.float32)}
    result |= {split: np.zeros((len(other.values), target.classes), np.float32) for split, other in others.items()}
    for number in numbers:
        held = at == number
        rows = Target(target.kind, target.values[~held], target.classes)
        wanted = [table.values[held], *(other.values for other in others.values())]
        found = model.fit_predict(table.values[~held], rows, wanted, seed)
        result[OUT_OF_FOLD][held] = found[0]
        for split, one in zip(others, found[1:], strict=True):
            result[split] += one / len(numbers)
    return result


class Repeats:
    """Repetitions on disk, a file each; a stopped run continues with the next one.

    Statoil's 3rd place averaged 30 repetitions of 5 folds, Data Science Bowl 2017's 2nd place 1000 random splits: the
    influence of the split falls with their number.

    Args:
        folder: folder of the files. Files of other features, targets, models or folds are replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        table: Table,
        target: Target,
        others: dict[str, Table],
        model: Model,
        folds: Sequence[np.ndarray],
        seed: int = 0,
    ) -> Predicted:
        """Mean of `cross_fit` over all repetitions, float32.

        Args:
            table: features of the images with known targets.
            target: target of each row.
            others: features of other splits.
            model: model to fit.
            folds: fold of each image `(N,)`, for each repetition.
            seed: seed of the models; each repetition derives its own.
        """
        total: Predicted = {}
        made_from = fingerprint(table, target, others, model)
        for number, fold in enumerate(progress(folds, "repetitions")):
            # Below 2**31, the limit of LightGBM.
            own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
            key = text_hash(repr([made_from, own, fold.tolist()]))
            one = self.read(number, key)
            if one is None:
                one = cross_fit(table, target, others, model, fold, own)
                self._write(number, key, one)
            total = {name: total.get(name, 0) + values.astype(np.float64) for name, values in one.items()}
        for stale in self.folder.glob("*.npz"):
            if int(stale.stem) >= len(folds):
                stale.unlink()
        return {name: (values / len(folds)).astype(np.float32) for name, values in total.items()}

    def read(self, number: int, key: str | None = None) -> Predicted | None:
        """Predictions of a repetition; None if there are none, or if their key is not the given one."""
        try:
            with np.load(self._file(number), allow_pickle=False) as content:
                if key is not None and str(content["key"]) != key:
                    return None
                return {name[1:]: content[name] for name in content.files if name.startswith("=")}
        except (FileNotFoundError, zipfile.BadZipFile, EOFError, ValueError, KeyError):
            return None  # a damaged file is made again

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:05}.npz"

    def _write(self, number: int, key: str, predicted: Predicted) -> None:
        write_arrays(self._file(number), {"key": key} | {f"={name}": one for name, one in predicted.items()})


def fingerprint(table: Table, target: Target, others: dict[str, Table], model: Model) -> str:
    """Hash of all data that models are fitted on and predict."""
    digest = hashlib.sha256(repr([list(others), table.names, target.kind, target.classes, model]).encode())
    for one in (table, *others.values()):
        digest.update(np.ascontiguousarray(one.values).data)
        digest.update(np.ascontiguousarray(one.owner).data)
    digest.update(np.ascontiguousarray(target.values).data)
    return digest.hexdigest()[:16]

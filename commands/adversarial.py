"""The verb `adversarial`: adversarial validation of train against test, and weights of training images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from commands.command_line.parser import parse_options
from files.tables import comma_hint, read_csv
from files.writing import write_frame
from predictions.store import PredictionStore

MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "trees": lambda: HistGradientBoostingClassifier(random_state=0),
}


class Verdict(NamedTuple):
    """Result of a classifier of train against test.

    Attributes:
        auc: out-of-fold AUC; 0.5 if train and test are indistinguishable.
        low, high: 95 % bootstrap interval of the AUC over images.
        weights: weights of the training images `(N,)`, mean 1.
        effective: effective sample size (Σw)² / Σw².
    """

    auc: float
    low: float
    high: float
    weights: np.ndarray
    effective: float


def adversarial_weights(
    train: np.ndarray,
    test: np.ndarray,
    model: ClassifierMixin | None = None,
    clip: float = 10.0,
    folds: int = 5,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Verdict:
    """Classify train against test images by their features, out of fold, and weight training images like the test set.

    With p the probability that an image is a test image, p / (1 - p) is how much more frequent such images are in the
    test set; PLAsTiCC 2018's 4th place trained with such weights. Every p comes from a model that was not trained on
    the image, as weights of training images would only reflect overfitting.

    Args:
        train: features `(N, F)`.
        test: features `(M, F)`.
        model: scikit-learn classifier with `predict_proba`; None uses a logistic regression, whose probabilities are
            well calibrated.
        clip: weights are clipped to [median / clip, median * clip]; above 1.
        folds: number of folds of the cross-validation.
        groups: group (patient, scene) of each image, training images first; groups are not split between folds.
        seed: random seed of folds and bootstrap.

    Raises:
        ValueError: if feature shapes do not match, features are not finite, there are fewer images than folds, or
            `clip` is 1 or less.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise ValueError(f"features have the shapes {train.shape} and {test.shape}, expected (N, F) and (M, F)")
    if clip <= 1 or min(len(train), len(test)) < folds:
        raise ValueError(f"clip is {clip}, {len(train)} and {len(test)} images; expected above 1, and {folds} of each")
    features, target = np.concatenate([train, test]), np.repeat([0, 1], [len(train), len(test)])
    if not np.isfinite(features).all():
        raise ValueError("features contain NaN or infinity, expected finite values")
    model = MODELS["logistic"]() if model is None else model
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    probability = np.empty(len(target))
    for fit, held in splitter(folds, shuffle=True, random_state=seed).split(features, target, groups):
        probability[held] = clone(model).fit(features[fit], target[fit]).predict_proba(features[held])[:, 1]
    rng, draws = np.random.default_rng(seed), []
    for _ in range(200):
        chosen = np.concatenate(
            [rng.integers(0, len(train), len(train)), len(train) + rng.integers(0, len(test), len(test))]
        )
        draws.append(roc_auc_score(target[chosen], probability[chosen]))
    p = np.clip(probability[: len(train)], 1e-6, 1 - 1e-6)
    odds = p / (1 - p)
    middle = np.median(odds)
    weights = np.clip(odds, middle / clip, middle * clip)
    weights /= weights.mean()
    low, high = np.quantile(draws, (0.025, 0.975))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return Verdict(float(roc_auc_score(target, probability)), float(low), float(high), weights, effective)


@dataclass
class Options:
    """Options of `adversarial`.

    Args:
        train: Training images: folder written by `features` (features.npy, ids.csv), or CSV with image_id and numeric
            columns.
        test: Test images, in the same format.
        columns: Columns of the CSVs to use; by default, all numeric columns that both share.
        model: Classifier of train against test.
        clip: Bound c of the weights, clipped to [median / c, median * c].
        group: Column of the CSVs with the groups (patients, scenes) that are not split between folds.
        output: Output CSV, for data.weights.
    """

    train: str
    test: str
    columns: list[str] | None = None
    model: Literal["logistic", "trees"] = "logistic"
    clip: float = 10.0
    group: str | None = None
    output: str = "weights.csv"


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    chosen = parse_options("adversarial", arguments, Options, "--train FOLDER --test FOLDER [--key value …]")
    try:
        ids, train, test, groups = read_both(chosen.train, chosen.test, chosen.columns, chosen.group)
        found = adversarial_weights(train, test, MODELS[chosen.model](), chosen.clip, groups=groups)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    table = pd.DataFrame({"image_id": ids, "weight": np.round(found.weights, 6)})
    output = Path(chosen.output)
    write_frame(output, table)
    print(f"train against test: AUC {found.auc:.3f}  [{found.low:.3f}, {found.high:.3f}], out of fold")
    if found.low <= 0.5:
        print(f"train and test are indistinguishable: the weights in {output} would only add noise")
        return
    print(f"train and test differ; effective sample size of {len(ids)} weighted training images: {found.effective:.0f}")
    print(f"{output}: next  python cli.py fit … --data.weights {output}")


def read_both(
    train: str, test: str, columns: list[str] | None, group: str | None
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray | None]:
    """Ids of the training images, both feature matrices, and the group of each image."""
    tables = [read_table(path) for path in (train, test)]
    shared = [name for name in tables[0].columns if name in tables[1].columns and name not in ("image_id", group)]
    names = columns or [name for name in shared if all(pd.api.types.is_numeric_dtype(table[name]) for table in tables)]
    for path, table in zip((train, test), tables, strict=True):
        missing = [name for name in (*names, *([group] if group else [])) if name not in table]
        if missing or not names:
            raise ValueError(
                f"{path} has the columns {list(table.columns)[:12]}, expected {missing or 'numeric columns'}"
            )
    groups = None if group is None else np.concatenate([table[group].astype(str).to_numpy() for table in tables])
    for path, table in zip((train, test), tables, strict=True):
        words = [name for name in names if not pd.api.types.is_numeric_dtype(table[name])]
        if words:
            raise ValueError(f"{path}: column {words[0]!r} contains {table[words[0]].iloc[0]!r}, expected numbers")
    matrices = [table[names].to_numpy(np.float64) for table in tables]
    return tables[0]["image_id"].astype(str).tolist(), *matrices, groups


def read_table(path: str) -> pd.DataFrame:
    """Read `image_id` and numeric columns from a folder of features or a CSV."""
    folder = Path(path)
    if (folder / "features.npy").is_file():
        PredictionStore(folder).check_sources()
        features = np.load(folder / "features.npy")
        table = pd.DataFrame(features, columns=[f"f{number}" for number in range(features.shape[1])])
        return pd.concat([read_csv(folder / "ids.csv")[["image_id"]], table], axis=1)
    if not folder.is_file():
        raise FileNotFoundError(f"{path} is neither a CSV nor a folder with features.npy and ids.csv")
    table = read_csv(folder)
    if "image_id" not in table:
        raise ValueError(f"{path} has no column image_id, only {list(table.columns)[:12]}")
    for name in table.columns.drop("image_id"):
        numbers = pd.to_numeric(table[name].where(table[name] != ""), errors="coerce")
        texts = table[name][numbers.isna() & (table[name] != "")]
        if len(texts) and (hint := comma_hint(texts.iloc[0])):
            raise ValueError(f"{path}, row {texts.index[0] + 2}: {name!r} is {texts.iloc[0]!r}{hint}")
        if not len(texts):
            table[name] = numbers
    return table

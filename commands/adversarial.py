"""The verb `adversarial`: can training and test images be told apart, and how should training images weigh?"""

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
    """What a classifier of train against test found.

    Attributes:
        auc: out of fold; 0.5 where nothing tells them apart.
        low, high: its 95 % bootstrap interval over images.
        weights: of the training images `(N,)`, mean 1.
        effective: number of equally weighted images that are worth as much: (Σw)² / Σw².
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
    """Tell test from training images by their features, out of fold, and weigh training images like the test set.

    With p the probability that an image is a test image, p / (1 - p) is how much more frequent its like is in the test
    set; PLAsTiCC 2018's 4th place trained with such weights. Every p comes from a model that did not see the image, or
    the weights would only tell how well it was learnt by heart.

    Args:
        train: features `(N, F)`.
        test: features `(M, F)`.
        model: scikit-learn classifier with `predict_proba`; None takes a logistic regression, whose probabilities mean
            what they say.
        clip: no image weighs more than so many times, or less than one part in so many of, the middle one.
        folds: of the cross-validation.
        groups: group of each image, training images first (patients, scenes): groups stay whole.
        seed: of folds and bootstrap.

    Raises:
        ValueError: features that do not fit or are not finite, too few images, a clip of 1 or less.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise ValueError(f"features are {train.shape} and {test.shape}, expected (N, F) and (M, F)")
    if clip <= 1 or min(len(train), len(test)) < folds:
        raise ValueError(f"clip is {clip}, {len(train)} and {len(test)} images; expected above 1, and {folds} of each")
    features, target = np.concatenate([train, test]), np.repeat([0, 1], [len(train), len(test)])
    if not np.isfinite(features).all():
        raise ValueError("a feature is not finite")
    model = MODELS["logistic"]() if model is None else model
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    probability = np.empty(len(target))
    for fit, held in splitter(folds, shuffle=True, random_state=seed).split(features, target, groups):
        probability[held] = clone(model).fit(features[fit], target[fit]).predict_proba(features[held])[:, 1]
    random, draws = np.random.default_rng(seed), []
    for _ in range(200):
        chosen = np.concatenate(
            [random.integers(0, len(train), len(train)), len(train) + random.integers(0, len(test), len(test))]
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
        train: Training images: folder that `features` wrote (features.npy, ids.csv), or CSV of image_id and columns of
            numbers.
        test: Test images, in the same form.
        columns: Columns of the CSVs to use; null: all numbers that both have.
        model: Classifier of train against test.
        clip: Bound of the weights, as a multiple (and a part) of their median.
        group: Column of the CSVs whose groups stay whole.
        output: CSV to write, for data.weights.
    """

    train: str
    test: str
    columns: list[str] | None = None
    model: Literal["logistic", "trees"] = "logistic"
    clip: float = 10.0
    group: str | None = None
    output: str = "weights.csv"


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
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
        print(f"nothing tells them apart: the weights in {output} would only add noise")
        return
    print(f"they differ; weighted, {len(ids)} training images are worth {found.effective:.0f}")
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
            raise ValueError(f"{path} has the columns {list(table.columns)[:12]}, expected {missing or 'numbers'}")
    groups = None if group is None else np.concatenate([table[group].astype(str).to_numpy() for table in tables])
    for path, table in zip((train, test), tables, strict=True):
        words = [name for name in names if not pd.api.types.is_numeric_dtype(table[name])]
        if words:
            raise ValueError(f"{path}: column {words[0]!r} holds {table[words[0]].iloc[0]!r}, expected numbers")
    matrices = [table[names].to_numpy(np.float64) for table in tables]
    return tables[0]["image_id"].astype(str).tolist(), *matrices, groups


def read_table(path: str) -> pd.DataFrame:
    """`image_id` and columns of numbers, of a folder of features or a CSV."""
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

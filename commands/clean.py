"""The verb `clean`: labels that models which did not see them contradict."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from commands.command_line.config import read_config
from experiments.fold_stores import Missing
from experiments.stored_predictions import out_of_fold
from files.writing import write_frame


def suspects(labels: np.ndarray, probabilities: np.ndarray, threshold: float = 0.8, scaled: bool = False) -> np.ndarray:
    """How far each label is from its out-of-fold probability, where that is far: `(N, K)`, 0 elsewhere.

    RSNA 2024 lumbar spine, 2nd place: training without the rows whose label and out-of-fold prediction differ by 0.8 or
    more brought 1 % on both leaderboards.

    Args:
        labels: `(N, K)` of 0 and 1.
        probabilities: `(N, K)`, each row of a model that did not see it.
        threshold: least distance of a suspect.
        scaled: divide each class's probabilities by the median of its positives first (at most 1): those of a rare
            class seldom come near 1, and every positive would be suspect.

    Raises:
        ValueError: shapes that differ, values outside 0..1, a threshold outside (0, 1].
    """
    if labels.shape != probabilities.shape or labels.ndim != 2:
        raise ValueError(f"labels are {labels.shape}, probabilities {probabilities.shape}; expected (N, K) both")
    if not 0 < threshold <= 1:
        raise ValueError(f"--threshold is {threshold}, expected a distance above 0 and at most 1")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("the predictions are no probabilities in 0..1")
    if scaled:
        columns = zip(labels.T > 0.5, probabilities.T, strict=True)
        middles = [np.median(column[positive]) if positive.any() else 1.0 for positive, column in columns]
        probabilities = np.minimum(1.0, probabilities / np.maximum(middles, 1e-6))
    distance = np.abs(labels - probabilities)
    return np.where(distance >= threshold, distance, 0.0)


@dataclass
class Options:
    """Options of `clean`.

    Args:
        threshold: Smallest distance of label and out-of-fold probability of a suspect, above 0 and at most 1.
        scaled: Divide the probabilities of each class by the median of its positives first.
        name: Name of the image-level output that is compared.
        output: Folder to write to; null: <runs>/<experiment>/clean.
        missing: Whether to refuse or to skip folds of the folds file without a run.
    """

    threshold: float = 0.8
    scaled: bool = False
    name: str = "label"
    output: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Write `suspects.csv`, worst first, and `weights.csv` with 0 for them, which `data.weights` takes."""
    config = read_config("clean", arguments, Options, folds=True)
    name, folder = config.options.name, Path(config.options.output or config.experiment / "clean")
    cases = sorted(out_of_fold(config), key=lambda case: case.image_id)
    if not cases:
        raise SystemExit(f"error: {config.experiment} has no out-of-fold predictions; fit and predict first")
    pairs = [compared(case.image_id, case.prediction(), case.truth(), name) for case in cases]
    labels, probabilities = (np.stack(part) for part in zip(*pairs, strict=True))
    try:
        found = suspects(labels, probabilities, config.options.threshold, config.options.scaled)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    rows, columns = np.nonzero(found)
    table = pd.DataFrame(
        {
            "image_id": [cases[row].image_id for row in rows],
            "class": columns,
            "label": labels[rows, columns],
            "prediction": probabilities[rows, columns].round(4),
            "distance": found[rows, columns].round(4),
        }
    ).sort_values("distance", ascending=False, kind="stable")
    weights = pd.DataFrame({"image_id": [case.image_id for case in cases], "weight": np.where(found.any(1), 0.0, 1.0)})
    for file, content in (("suspects.csv", table), ("weights.csv", weights)):
        write_frame(folder / file, content)
    images = int(found.any(1).sum())
    print(f"{len(table)} labels of {images} of {len(cases)} images are suspect: {folder / 'suspects.csv'}, worst first")
    print(f"without them:  python cli.py fit … --data.weights {folder / 'weights.csv'}")


def compared(
    image_id: str, prediction: dict[str, np.ndarray], truth: dict[str, np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Label and probabilities `(K,)` of an image."""
    given, true = prediction.get(name), truth.get(name)
    if given is None or true is None or given.ndim != 1:
        raise SystemExit(
            f"error: clean compares an image-level output, and {name!r} of image {image_id!r} is none; it predicts "
            f"{sorted(prediction)} and has the truth {sorted(truth)}. Of masks, see scores.csv of a run"
        )
    true = np.asarray(true)
    if true.shape != given.shape and true.size == 1 and len(given) > 1:
        true = np.arange(len(given)) == int(true.reshape(()))
    return np.broadcast_to(true, given.shape).astype(np.float64), given.astype(np.float64)

"""The verb `clean`: labels that contradict out-of-fold predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from commands.command_line.config import read_config
from experiments.fold_stores import Missing
from experiments.stored_predictions import out_of_fold
from files.writing import write_frame


def suspects(labels: np.ndarray, probabilities: np.ndarray, threshold: float = 0.8, scaled: bool = False) -> np.ndarray:
    """Distance of each label from its out-of-fold probability, 0 if below `threshold`: `(N, K)`.

    RSNA 2024 lumbar spine, 2nd place: removing training rows whose label and out-of-fold prediction differ by 0.8 or
    more gained 1 % on both leaderboards.

    Args:
        labels: 0 or 1, `(N, K)`.
        probabilities: out-of-fold probabilities `(N, K)`.
        threshold: minimum distance of a suspect label, in (0, 1].
        scaled: divide the probabilities of each class by the median of its positives, at most 1. Probabilities of
            a rare class seldom approach 1, so all its positives would be suspect.

    Raises:
        ValueError: if shapes differ, probabilities are outside [0, 1], or `threshold` is outside (0, 1].
    """
    if labels.shape != probabilities.shape or labels.ndim != 2:
        raise ValueError(
            f"labels have the shape {labels.shape}, probabilities {probabilities.shape}; expected (N, K) for both"
        )
    if not 0 < threshold <= 1:
        raise ValueError(f"--threshold is {threshold}, expected a value in (0, 1]")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("predictions are outside [0, 1], expected probabilities")
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
        threshold: Minimum distance between the label and the out-of-fold probability of a suspect, in (0, 1].
        scaled: Whether to divide the probabilities of each class by the median of its positives.
        name: Name of the image-level output to compare with the labels.
        output: Output folder; by default, <runs>/<experiment>/clean.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    threshold: float = 0.8
    scaled: bool = False
    name: str = "label"
    output: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Write `suspects.csv`, largest distance first, and `weights.csv` for `data.weights`, 0 for suspects."""
    config = read_config("clean", arguments, Options, folds=True)
    name, folder = config.options.name, Path(config.options.output or config.experiment / "clean")
    cases = sorted(out_of_fold(config), key=lambda case: case.image_id)
    if not cases:
        raise SystemExit(f"error: {config.experiment} has no out-of-fold predictions; fit and predict first")
    pairs = [compared(case.image_id, case.prediction(), case.targets(), name) for case in cases]
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
    image_id: str, prediction: dict[str, np.ndarray], targets: dict[str, np.ndarray], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities `(K,)` of an image."""
    given, true = prediction.get(name), targets.get(name)
    if given is None or true is None or given.ndim != 1:
        raise SystemExit(
            f"error: {name!r} of image {image_id!r} is not an image-level output with a target; outputs: "
            f"{sorted(prediction)}, targets: {sorted(targets)}. Set --name; for masks, see scores.csv of a run"
        )
    true = np.asarray(true)
    if true.shape != given.shape and true.size == 1 and len(given) > 1:
        true = np.arange(len(given)) == int(true.reshape(()))
    return np.broadcast_to(true, given.shape).astype(np.float64), given.astype(np.float64)

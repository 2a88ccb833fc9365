"""The verb `suggest`: select images to annotate next, and record rounds of new labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from commands.command_line.config import read_config
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.fold_stores import Missing
from exploration.rounds import import_labels, read_rounds
from exploration.suggest import centred, describe, read_descriptors, suggest, uncertainty
from files.progress import progress
from files.writing import write_frame
from predictions.store import PredictionStore


@dataclass
class Options:
    """Options of `suggest`.

    Args:
        predictions: Prediction stores of the models; by default, those of all folds.
        split: Split or folder of unlabelled images.
        n_uncertain: Number of candidates: the most uncertain images.
        n_pick: Number of images to annotate: the candidates most similar to all other images.
        output_name: Name of the output whose variance is the uncertainty; by default, all maps.
        descriptors: .npz file with image_id and descriptor; by default, image thumbnails are used.
        output: Output CSV; by default, <runs>/<experiment>/todo.csv.
        new_labels: Folder of new labels <image_id>.png to check and record.
        round: Round number of the new labels, from 1.
        rounds: CSV of the rounds; by default, <data.root>/rounds.csv.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    predictions: list[str] = field(default_factory=list)
    split: str = "test"
    n_uncertain: int = 16
    n_pick: int = 8
    output_name: str | None = None
    descriptors: str | None = None
    output: str | None = None
    new_labels: str | None = None
    round: int | None = None
    rounds: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Select the images to annotate next, or record new labels."""
    config = read_config("suggest", arguments, Options, folds=True)
    config.data.prepare_data()
    rounds = Path(config.options.rounds or Path(config.data.root) / "rounds.csv")
    try:
        if config.options.new_labels is not None:
            import_round(config, rounds)
        else:
            write_suggestion(config, rounds)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error


def write_suggestion(config: OfflineConfig, rounds: Path) -> None:
    """Write `todo.csv`: rank, image, path, uncertainty, and the gain in coverage of the set."""
    chosen = config.options
    stores = [PredictionStore.open(path) for path in chosen.predictions]
    if not stores:
        inputs = config.data.predict_inputs(chosen.split)  # annotated images may have left the split
        stores = [PredictionStore.open(run.predictions / Path(chosen.split).name, inputs) for run in config.runs]
    if len(stores) < 2:
        raise ValueError(
            f"found {len(stores)} prediction stores, expected two or more: give --predictions '[A, B]', or an "
            "experiment with predictions of several folds"
        )
    ids = stores[0].ids()
    for store in stores[1:]:
        if store.ids() != ids:
            raise ValueError(
                f"{store.path} and {stores[0].path} contain different image ids; predict the same split with both"
            )
    known = read_rounds(rounds)
    done = set(known.loc[known["round"] > 0, "image_id"])
    ids = [image_id for image_id in ids if image_id not in done]
    if not ids:
        raise ValueError(f"all predicted images are in {rounds}; nothing is left to annotate")
    rows = {row.image_id: row for row in rows_of(config.data.split_table(chosen.split))}
    missing = [image_id for image_id in ids if image_id not in rows]
    if missing:
        raise ValueError(f"{stores[0].path} contains {missing[0]!r}, which is not in {chosen.split}; set --split")
    uncertain = np.array(
        [
            uncertainty(
                [store.read(image_id) for store in stores],
                chosen.output_name,
                config.data.reader.known(rows[image_id]),
            )
            for image_id in progress(ids, "disagreement", unit=" images")
        ]
    )
    if chosen.descriptors is not None:
        descriptors = read_descriptors(chosen.descriptors, ids)
    else:
        described = [
            describe(config.data.reader.read(rows[image_id])) for image_id in progress(ids, "reading", unit=" images")
        ]
        if len({len(descriptor) for descriptor in described}) > 1:
            raise ValueError("images have different numbers of channels; give --descriptors")
        descriptors = centred(np.stack(described))
    picked, gains = suggest(uncertain, descriptors, chosen.n_uncertain, chosen.n_pick)
    output = Path(chosen.output or config.experiment / "todo.csv")
    records = [
        (rank, ids[index], rows[ids[index]].path, uncertain[index], gain / len(ids))
        for rank, (index, gain) in enumerate(zip(picked, gains, strict=True), 1)
    ]
    columns = ["rank", "image_id", "path", "uncertainty", "share_covered"]
    write_frame(output, pd.DataFrame(records, columns=columns))
    print(f"{output}: {len(picked)} of {len(ids)} images to annotate, by {len(stores)} models")
    print(f"then annotate, and:  python cli.py suggest … --new_labels FOLDER_OF_LABELS --round {next_round(known)}")


def next_round(known: pd.DataFrame) -> int:
    """Number of the next round."""
    return 1 + (int(known["round"].max()) if len(known) else 0)


def import_round(config: OfflineConfig, path: Path) -> None:
    """Check and record the label files of a round."""
    number = config.options.round
    if number is None:
        raise ValueError(f"--new_labels needs --round; the next is {next_round(read_rounds(path))}")
    data = config.data
    # Not `data.table()`: its metadata may be this file, which does not contain the new images yet.
    patterns = [pattern for pattern in (data.images, data.val_images) if pattern is not None]
    train = [row for pattern in patterns for row in rows_of(data.find(data.root, pattern, "train"))]
    pool = rows_of(data.split_table(config.options.split)) if config.options.split != "test" or data.test_images else []
    rows = {row.image_id: row for row in [*pool, *train]}
    labelled = [row.image_id for row in train]
    folder = config.options.new_labels
    content = import_labels(folder, number, path, rows, config.data.reader.size, labelled)
    count = int((content["round"] == number).sum())
    print(f"{path}: {count} images of round {number}, {len(content)} in total; files were checked, not copied")
    if path.parent == Path(config.data.root):
        print(f"use it:  --data.metadata {path.name}, then cv.stratify, cv.group and samplers can use `round`")

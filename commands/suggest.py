"""The verb `suggest`: which images to annotate next; rounds of new labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from commands.command_line.config import read_config
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.fold_stores import Missing
from exploration.rounds import import_labels, read_rounds
from exploration.suggest import centred, describe, read_descriptors, suggest, uncertainty
from files.writing import write_frame
from predictions.store import PredictionStore


@dataclass
class Options:
    """Options of `suggest`.

    Args:
        predictions: Prediction stores of the models; none: those of all folds.
        split: Split, or folder of images, that has no truth yet.
        n_uncertain: Number of candidates: the most uncertain images.
        n_pick: Number of images to annotate: of the candidates, those most similar to all others.
        output_name: Name of the output whose variance counts; null: all maps.
        descriptors: .npz file with image_id and descriptor; null: thumbnails of the images.
        output: CSV to write; null: <runs>/<experiment>/todo.csv.
        new_labels: Folder of new labels <image_id>.png to check and to note.
        round: Number, from 1, of the round that the new labels belong to.
        rounds: CSV of the rounds; null: <data.root>/rounds.csv.
        missing: Whether to refuse or to skip folds of the folds file without a run.
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
    """Name the images to annotate next, or import what was annotated."""
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
    """Write `todo.csv`: rank, image, path, uncertainty, and how much of the set each picture adds to the cover."""
    chosen = config.options
    stores = [PredictionStore.open(path) for path in chosen.predictions]
    if not stores:
        inputs = config.data.predict_inputs(chosen.split)  # some may have been annotated and have left the split
        stores = [PredictionStore.open(run.predictions / Path(chosen.split).name, inputs) for run in config.runs]
    if len(stores) < 2:
        raise ValueError(
            f"{len(stores)} prediction stores; two or more models can disagree: give --predictions '[A, B]', or an "
            "experiment with several folds that have predicted"
        )
    ids = stores[0].ids()
    for store in stores[1:]:
        if store.ids() != ids:
            raise ValueError(f"{store.path} and {stores[0].path} hold other images; predict the same split with both")
    known = read_rounds(rounds)
    done = set(known.loc[known["round"] > 0, "image_id"])
    ids = [image_id for image_id in ids if image_id not in done]
    if not ids:
        raise ValueError(f"every predicted image is in {rounds}; there is nothing left to annotate")
    rows = {row.image_id: row for row in rows_of(config.data.split_table(chosen.split))}
    missing = [image_id for image_id in ids if image_id not in rows]
    if missing:
        raise ValueError(f"{stores[0].path} holds {missing[0]!r}, which is no image of {chosen.split}; set --split")
    bar = {"unit": " images", "disable": None}
    uncertain = np.array(
        [
            uncertainty(
                [store.read(image_id) for store in stores],
                chosen.output_name,
                config.data.reader.known(rows[image_id]),
            )
            for image_id in tqdm(ids, desc="disagreement", **bar)
        ]
    )
    if chosen.descriptors is not None:
        descriptors = read_descriptors(chosen.descriptors, ids)
    else:
        described = [describe(config.data.reader.read(rows[image_id])) for image_id in tqdm(ids, desc="reading", **bar)]
        if len({len(descriptor) for descriptor in described}) > 1:
            raise ValueError("the images differ in their number of channels; give --descriptors")
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
    """Number of the round after those in the file."""
    return 1 + (int(known["round"].max()) if len(known) else 0)


def import_round(config: OfflineConfig, path: Path) -> None:
    """Check the label files of a round and note them."""
    number = config.options.round
    if number is None:
        raise ValueError(f"--new_labels needs --round; the next is {next_round(read_rounds(path))}")
    data = config.data
    # Not `data.table()`: its metadata may be this very file, which does not know the new images yet.
    patterns = [pattern for pattern in (data.images, data.val_images) if pattern is not None]
    train = [row for pattern in patterns for row in rows_of(data.find(data.root, pattern, "train"))]
    pool = rows_of(data.split_table(config.options.split)) if config.options.split != "test" or data.test_images else []
    rows = {row.image_id: row for row in [*pool, *train]}
    labelled = [row.image_id for row in train]
    folder = config.options.new_labels
    content = import_labels(folder, number, path, rows, config.data.reader.size, labelled)
    count = int((content["round"] == number).sum())
    print(f"{path}: {count} images of round {number}, {len(content)} in all; files were checked, none was copied")
    if path.parent == Path(config.data.root):
        print(f"join it:  --data.metadata {path.name}, then any cv.stratify, cv.group or sampler may use `round`")

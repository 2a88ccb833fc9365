"""The verb `suggest`: which images to annotate next; rounds of new labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from commands.command_line.config import read_config
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from exploration.rounds import import_labels, read_rounds
from exploration.suggest import centred, describe, read_descriptors, suggest, uncertainty
from files.writing import write_frame
from predictions.store import PredictionStore


def main(arguments: list[str]) -> None:
    """Name the images to annotate next, or import what was annotated."""

    def options(parser: Any) -> None:
        add = parser.add_argument
        add("--predictions", type=list[str], default=[], help="Prediction stores of the models; those of all folds.")
        add("--split", type=str, default="test", help="Split, or folder of images, that has no truth yet.")
        add("--n_uncertain", type=int, default=16, help="Candidates: so many most uncertain images.")
        add("--n_pick", type=int, default=8, help="Images to annotate: those that stand for most others.")
        add("--output_name", type=str | None, default=None, help="Output whose variance counts; all maps.")
        add("--descriptors", type=str | None, default=None, help=".npz with image_id and descriptor; thumbnails.")
        add("--output", type=str | None, default=None, help="CSV to write; <runs>/<experiment>/todo.csv.")
        add("--import", type=str | None, default=None, help="Folder of new labels <image_id>.png to check and note.")
        add("--round", type=int | None, default=None, help="Number of the round that --import belongs to, from 1.")
        add("--rounds", type=str | None, default=None, help="CSV of the rounds; <data.root>/rounds.csv.")

    config = read_config("suggest", arguments, options, folds=True)
    config.data.prepare_data()
    rounds = Path(config.options.rounds or Path(config.data.root) / "rounds.csv")
    try:
        if getattr(config.options, "import") is not None:
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
    print(f"then annotate, and:  python cli.py suggest … --import FOLDER_OF_LABELS --round {next_round(known)}")


def next_round(known: pd.DataFrame) -> int:
    """Number of the round after those in the file."""
    return 1 + (int(known["round"].max()) if len(known) else 0)


def import_round(config: OfflineConfig, path: Path) -> None:
    """Check the label files of a round and note them."""
    number = config.options.round
    if number is None:
        raise ValueError(f"--import needs --round; the next is {next_round(read_rounds(path))}")
    data = config.data
    # Not `data.table()`: its metadata may be this very file, which does not know the new images yet.
    patterns = [pattern for pattern in (data.images, data.val_images) if pattern is not None]
    train = [row for pattern in patterns for row in rows_of(data.find(data.root, pattern, "train"))]
    pool = rows_of(data.split_table(config.options.split)) if config.options.split != "test" or data.test_images else []
    rows = {row.image_id: row for row in [*pool, *train]}
    labelled = [row.image_id for row in train]
    folder = getattr(config.options, "import")
    content = import_labels(folder, number, path, rows, config.data.reader.size, labelled)
    count = int((content["round"] == number).sum())
    print(f"{path}: {count} images of round {number}, {len(content)} in all; files were checked, none was copied")
    if path.parent == Path(config.data.root):
        print(f"join it:  --data.metadata {path.name}, then any cv.stratify, cv.group or sampler may use `round`")

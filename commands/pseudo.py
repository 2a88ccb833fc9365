"""The verb `pseudo`: pseudo-label images with trained runs, for each fold by the run that holds it out."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd

from commands.command_line.config import read_config
from datamodules.decoder import Decoder, derive
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.fold_stores import Missing, open_store
from experiments.labelling import confidence, labels_of
from experiments.run_folder import RunFolder, fold_name
from experiments.stored_predictions import mean_of_folds
from experiments.teachers import PSEUDO, check_teacher, config_of, round_of
from files.atomic import atomic_folder
from files.writing import write_arrays, write_csv, write_json, write_yaml
from predictions.splits import split_folder
from predictions.store import PredictionStore
from preprocessing.hashes import pixel_hash


@dataclass
class Options:
    """Options of `pseudo`.

    Args:
        on: Images to label: `test`, or a folder of images with predictions.
        positive_above: Probability above which a class is positive, in [0, 1].
        negative_below: Probability below which a class is negative, in [0, 1]; pixels in between are ignored.
        soft: Whether to use probabilities as labels, without thresholds.
        min_confidence: Minimum mean confidence of an image, in [0.5, 1] for two classes.
        weight: Loss weight of each pseudo-labelled image.
        ratio: Number of pseudo-labelled images per labelled image; by default, all.
        mode: Training with pseudo-labels in the printed command: jointly with labelled images, or as pretraining.
        round: Round number, from 1; 2 for teachers trained on the pseudo-labels of round 1.
        keep_duplicates: Whether to keep duplicates of training images.
        output: Output folder of all rounds; by default, pseudo/<experiment>.
        overwrite: Whether to replace existing labels.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    on: str = "test"
    positive_above: float = 0.95
    negative_below: float = 0.05
    soft: bool = False
    min_confidence: float = 0.0
    weight: float = 1.0
    ratio: float | None = None
    mode: Literal["joint", "pretrain"] = "joint"
    round: int = 1
    keep_duplicates: bool = False
    output: str | None = None
    overwrite: bool = False
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Write the labels of every fold, and config overlays to train with them."""
    config = read_config("pseudo", arguments, Options, folds=True)
    options = config.options
    check_options(options)
    folder = Path(options.output or f"pseudo/{config.experiment.name}") / f"round{options.round}"
    if folder.exists() and not options.overwrite:
        raise SystemExit(f"error: {folder} exists; set --overwrite true to replace it, or another --output or --round")
    try:
        teachers = teachers_of(config.runs, options.round)
        manifest = {
            "round": options.round,
            "on": options.on,
            "positive_above": options.positive_above,
            "negative_below": options.negative_below,
            "soft": options.soft,
        }
        with atomic_folder(folder) as temporary:
            entries = write_labels(config, teachers, temporary)
            write_overlays(config, teachers[0][1], folder, temporary)
            write_json(temporary / "manifest.json", manifest | {"folds": entries})
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    for fold, entry in entries.items():
        print(f"labels for fold {fold}: {entry['images']} of {entry['of']} images, by {', '.join(entry['teachers'])}")
    name = f"{config.experiment.name}_{options.mode}{options.round}"
    print(f"next:  python cli.py crossval --config … --config {folder}/{options.mode}.yaml --experiment {name}")


def check_options(options: Options) -> None:
    """Check the ranges of numeric options."""
    if not 0 <= options.negative_below <= options.positive_above <= 1:
        raise SystemExit(
            f"error: --negative_below {options.negative_below} and --positive_above {options.positive_above}; expected "
            "0 <= negative_below <= positive_above <= 1"
        )
    if options.round < 1 or options.weight <= 0 or (options.ratio is not None and options.ratio <= 0):
        raise SystemExit(
            f"error: --round {options.round}, --weight {options.weight}, --ratio {options.ratio}: expected --round 1 "
            "or more, --weight and --ratio above 0"
        )


def teachers_of(runs: Sequence[RunFolder], number: int) -> list[tuple[int | str, RunFolder, str]]:
    """Fold, run and folds hash of every teacher.

    Raises:
        ValueError: if there is no run, a fold leaks (`experiments.teachers`), two runs hold out the same fold, or
            a run has another round.
    """
    if not runs:
        raise ValueError("no trained runs; give an experiment folder: python cli.py pseudo runs/NAME")
    teachers: dict[int | str, tuple[int | str, RunFolder, str]] = {}
    # A run on all images has seen the targets of every fold; it is for the submission, besides the fold runs.
    for run in [run for run in runs if config_of(run)["data"]["init_args"]["fold"] != "all"] or runs:
        fold, known = check_teacher(run)
        if fold in teachers:
            raise ValueError(f"{run.path} and {teachers[fold][1].path} both hold out fold {fold}; keep one of them")
        if round_of(run) != number - 1:
            raise ValueError(
                f"{run.path} was trained on labels of round {round_of(run)}, so its labels are round "
                f"{round_of(run) + 1}, not {number}; set --round {round_of(run) + 1}, or give other runs"
            )
        teachers[fold] = fold, run, known
    return list(teachers.values())


# --- labels ----------------------------------------------------------------------------------------------------------


def write_labels(
    config: OfflineConfig, teachers: list[tuple[int | str, RunFolder, str]], folder: Path
) -> dict[str, dict[str, Any]]:
    """Write label files and a table for every fold, and for training on all images.

    Returns:
        Manifest entries by fold.
    """
    data, options = config.data, config.options
    if any(target.boxes for target in data.targets):
        raise ValueError("data.targets contains boxes; pseudo supports masks and image-level labels only")
    data.prepare_data()
    data.prepare_targets()
    table = data.split_table(options.on)
    of = len(table)
    if not options.keep_duplicates:
        table = without_duplicates(config, table)
    like = targets_of_files(config)
    activations = config_of(teachers[0][1])["model"]["init_args"].get("activations") or {}
    softmax = {name for name, kind in activations.items() if kind == "softmax"}
    stores = [open_store(data, run, options.on) for _, run, _ in teachers]
    groups: list[tuple[int | str, list[RunFolder], str, list[PredictionStore]]] = [
        (fold, [run], known, [store]) for (fold, run, known), store in zip(teachers, stores, strict=True)
    ]
    if all(isinstance(fold, int) for fold, _, _ in teachers):
        groups.append(("all", [run for _, run, _ in teachers], "all", stores))
    entries: dict[str, dict[str, Any]] = {}
    row_of = {row.image_id: row for row in rows_of(table)}
    checked = False
    for fold, runs, known, given in groups:
        name = fold_name(fold)
        (folder / name).mkdir()
        wanted = {row["image_id"]: row for row in table.to_dict("records")}
        rows: list[dict[str, Any]] = []
        for image_id, prediction in mean_of_folds(given):
            if image_id not in wanted:
                continue
            data_at = data.reader.known(row_of[image_id])  # pixels without data are not labelled
            sure = confidence(prediction, softmax, data_at)
            if not sure >= options.min_confidence:
                continue
            void = {} if data_at is None else {"valid": data_at}
            processed = config.competition.process(dict(prediction), void) if set(like) - set(prediction) else {}
            arrays = labels_of(
                prediction,
                processed,
                like,
                softmax,
                options.positive_above,
                options.negative_below,
                options.soft,
                data_at,
            )
            if arrays is None:
                continue
            if not checked:
                derive(data.targets, dict(arrays))  # fail now rather than in training
                checked = True
            file = f"{name}/{quote(image_id, safe='').replace('.', '%2E')}.npz"
            write_arrays(folder / file, arrays, compressed=True, durable=False)
            own = {"labels": file, "confidence": f"{sure:.6f}", "weight": options.weight, "source": "pseudo"}
            rows.append(wanted[image_id] | own)
        if not rows:
            raise ValueError(
                f"no image of {options.on!r} is left for fold {fold}: no probability is above --positive_above "
                f"{options.positive_above} or below --negative_below {options.negative_below}, or no confidence "
                f"reaches --min_confidence {options.min_confidence}"
            )
        write_csv(folder / f"{name}.csv", list(rows[0]), (row.values() for row in rows))
        facts = {"table": f"{name}.csv", "folds_hash": known, "teachers": [str(run.path) for run in runs]}
        entries[str(fold)] = facts | {"images": len(rows), "of": of}
    return entries


def targets_of_files(config: OfflineConfig) -> dict[str, np.ndarray]:
    """Targets of a training image as read from its files, without derived targets."""
    data = config.data
    row = rows_of(data.table().iloc[:1])[0]
    arrays = Decoder(data.reader, data.targets).target_arrays(row)
    arrays.pop("valid", None)
    return arrays


def without_duplicates(config: OfflineConfig, table: pd.DataFrame) -> pd.DataFrame:
    """Drop duplicates of training images, which may be in the validation fold."""
    reader = config.data.reader
    known = {pixel_hash(reader.read(row)) for row in rows_of(config.data.table())}
    kept = [pixel_hash(reader.read(row)) not in known for row in rows_of(table)]
    if not all(kept):
        first = table["image_id"][kept.index(False)]
        warnings.warn(
            f"{len(kept) - sum(kept)} images are duplicates of training images and are left out, first {first!r}",
            stacklevel=2,
        )
    return table[kept].reset_index(drop=True)


# --- overlays --------------------------------------------------------------------------------------------------------


def classes_of(targets: Mapping[str, np.ndarray], run: RunFolder, on: str) -> dict[str, int]:
    """Number of classes of each class-number target: the number of channels of the output with its name."""
    store = PredictionStore.open(run.predictions / split_folder(on))
    prediction = store.read(store.ids()[0])
    return {
        name: len(prediction[name])
        for name, array in targets.items()
        if name in prediction and array.ndim == prediction[name].ndim - 1
    }


def write_overlays(config: OfflineConfig, run: RunFolder, folder: Path, temporary: Path) -> None:
    """`joint.yaml` and `pretrain.yaml`, for a second `--config`.

    Args:
        config: config of the verb.
        run: teacher run, whose other external data and targets are kept.
        folder: final folder of the labels.
        temporary: folder to write the files to.
    """
    options, data = config.options, config_of(run)["data"]["init_args"]
    others = [item for item in data.get("external") or [] if str(item["class_path"]).rpartition(".")[2] != PSEUDO]
    source = {"class_path": f"datamodules.external.{PSEUDO}", "init_args": {"root": str(folder)}}
    changed: dict[str, Any] = {"external": [*others, source]}
    if options.ratio is not None:
        changed["sampler"] = {
            "class_path": "datamodules.samplers.source_ratio.SourceRatio",
            "init_args": {"ratio": options.ratio},
        }
    if options.soft:
        targets = targets_of_files(config)
        masks = [name for name, array in targets.items() if array.ndim > 1]
        classes = classes_of(targets, run, options.on)
        soft = {"class_path": "datamodules.external.SoftLabels", "init_args": {"names": masks, "classes": classes}}
        kept = [item for item in data["targets"] if str(item["class_path"]).rpartition(".")[2] != "SoftLabels"]
        changed["targets"] = [*kept, *([soft] if masks or classes else [])]
        loss = str(config_of(run)["model"]["init_args"].get("loss"))
        if classes and set(re.findall(r"([a-z_]\w*)\(", loss)) != {"cross_entropy"}:
            warnings.warn(
                f"soft labels of class numbers ({', '.join(classes)}) need the loss cross_entropy; other losses treat "
                f"their channels as overlapping classes. The teacher's loss is {loss!r}",
                stacklevel=2,
            )
    stage: dict[str, Any] = {"data": {"init_args": changed}}
    stages = [{"name": "pseudo", **stage}, {"name": "real", "from": "best"}]
    for mode, content in (("joint", stage), ("pretrain", {"stages": stages})):
        write_yaml(temporary / f"{mode}.yaml", content)

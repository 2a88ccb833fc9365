"""The score of a cross-validation, from what each model says about the images it did not see."""

import copy
import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from experiments.config import OfflineConfig, read_config
from experiments.members import Member
from experiments.offline import out_of_fold
from postprocessing.predictions import PredictionStore
from postprocessing.search import Case
from preprocessing.files import text_hash


def member_cases(member: Member, arguments: list[str]) -> tuple[OfflineConfig, list[Case]]:
    """The validation images of a member with its predictions and their truth."""
    given = [*arguments, "--data.folds", str(member.folds), "--data.fold", str(member.fold)]
    config = replace(read_config("crossval", given, lambda parser: None), runs=[member.run])
    return config, out_of_fold(config)


def score_members(
    members: Sequence[Member], arguments: list[str], experiment: Path
) -> tuple[list[float], dict[int, CompetitionMetric], CompetitionMetric | None]:
    """Score trained members.

    Several predictions of an image (repetitions, a division per fold) are averaged into the store
    `<experiment>/out_of_fold`, with one entry per image; `out_of_fold.csv` says which run predicted what, with the
    score of the image in it.

    Args:
        members: with predictions of their validation images.
        arguments: configs and flags that offline verbs know.
        experiment: folder.

    Returns:
        The score of each member; of each division the metric over its images; the metric of the averaged predictions,
        None where no image has several.
    """
    scores: list[float] = []
    divisions: dict[int, CompetitionMetric] = {}
    predicted: dict[str, list[Case]] = {}
    rows: list[tuple[Any, ...]] = []
    config = None
    for member in members:
        config, cases = member_cases(member, arguments)
        division = divisions.setdefault(member.repeat, config.competition.metric)
        for case in cases:
            truth = case.truth()
            prediction = config.competition.process(case.prediction(), truth)
            division.add(case.image_id, prediction, truth)
            predicted.setdefault(case.image_id, []).append(case)
        own = {case.image_id: division.rows[case.image_id] for case in cases}
        scores.append(float(division.reduce(np.stack([own[image_id] for image_id in sorted(own)]))))
        rows += [
            (image_id, member.repeat, member.fold, division.image_score(row), member.run.path)
            for image_id, row in own.items()
        ]
    write_csv(experiment / "out_of_fold.csv", ("image_id", "repeat", "fold", "score", "run"), sorted(rows, key=str))
    mean = None
    if config is not None and any(len(cases) > 1 for cases in predicted.values()):
        mean = copy.deepcopy(config.competition.metric)
        mean.reset()
        store = mean_store(experiment / "out_of_fold", predicted, members)
        for image_id, cases in predicted.items():
            truth = cases[0].truth()
            mean.add(image_id, config.competition.process(store.read(image_id), truth), truth)
    return scores, divisions, mean


def mean_store(path: Path, predicted: dict[str, list[Case]], members: Sequence[Member]) -> PredictionStore:
    """Write the mean of each image's out-of-fold predictions; goes on where it was cut off."""
    stores = [PredictionStore(member.run.predictions / "val") for member in members]
    made_by = text_hash("\n".join(f"{one.path} {one.state()}" for one in stores))
    store = PredictionStore(path)
    for image_id in store.begin(sorted(predicted), made_by, stores=stores):
        entries = [case.prediction() for case in predicted[image_id]]
        mean = {name: np.mean([entry[name] for entry in entries], axis=0, dtype=np.float32) for name in entries[0]}
        store.write(image_id, mean, dtype="float16")
    store.finish()
    return store


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    os.replace(temporary, path)

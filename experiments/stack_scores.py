"""Out-of-fold scores of a second-level model and its members."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ensembling.members import OUT_OF_FOLD, Arrays
from ensembling.weights import better
from evaluation.metrics.base import CompetitionMetric
from experiments.stack_images import ImageProblem
from experiments.stack_inputs import Inputs
from experiments.stack_objects import ObjectProblem
from submissions.competition import Competition

Key = tuple[str, str]
Candidate = tuple[
    Competition, Callable[[int], Arrays]
]  # post-processing, and a function of the image index that returns arrays


def scores_of(
    inputs: Inputs,
    problem: ImageProblem | ObjectProblem,
    predictions: np.ndarray,
    alone: Sequence[np.ndarray],
    model: str,
) -> dict[str, Any]:
    """Score and print the members, the stack and every repetition.

    Args:
        inputs: images and members.
        problem: converts predictions to store entries.
        predictions: predictions of the out-of-fold images, from `problem.predictions`.
        alone: predictions of each repetition.
        model: name of the second-level model.

    Returns:
        `singles` by member, `score` of the stack, `repeat_scores`.
    """
    competition, ids = inputs.config.competition, inputs.ids[OUT_OF_FOLD]
    own = Competition(competition.metric, postprocess=problem.postprocess or competition.postprocess)
    candidates: dict[Key, Candidate] = {}
    for number, label in enumerate(inputs.labels):
        candidates["member", label] = competition, lambda n, number=number: inputs.entry(OUT_OF_FOLD, number, ids[n])
    for number, one in enumerate([predictions, *alone]):
        key = ("stack", "") if number == 0 else ("repeat", str(number))
        candidates[key] = own, lambda n, one=one: problem.entry(OUT_OF_FOLD, n, one)
    scores = score_all(competition.metric, candidates, ids, inputs.target_arrays)
    singles = {name: score for (kind, name), score in scores.items() if kind == "member"}
    each = [score for (kind, _), score in scores.items() if kind == "repeat"]
    stack, width = scores["stack", ""], max(map(len, [*singles, "one repetition"]))
    chain = "configured post-processing" + ("" if problem.postprocess is None else ", the stack after its own")
    print(f"out of fold, {type(competition.metric).__name__} after {chain}:")
    for label, score in singles.items():
        print(f"  {label:<{width}}  " + (score if isinstance(score, str) else f"{score:.5f}"))
    if each:
        print(f"  {'one repetition':<{width}}  {np.mean(each):.5f}  (std {np.std(each):.5f} over {len(each)})")
    print(f"  {'stack':<{width}}  {stack:.5f}  ({model}; out of fold)")
    for label, score in singles.items():
        if not isinstance(score, str) and better(score, stack, competition.metric.higher_is_better):
            print(f"  {label} alone scores as well or better")
    return {"singles": singles, "score": stack, "repeat_scores": each}


def score_all(
    metric: CompetitionMetric,
    candidates: dict[Key, Candidate],
    ids: Sequence[str],
    target: Callable[[str], Arrays],
) -> dict[Key, float | str]:
    """Score several predictions of the same images; each target is read once.

    Args:
        metric: metric of the competition.
        candidates: predictions to score by key; members have the key `("member", name)`.
        ids: image ids.
        target: function that reads the target arrays of an image.

    Returns:
        Score by key, or the reason if post-processing fails for a member (missing output).
    """
    rows: dict[Key, list[np.ndarray]] = {key: [] for key in candidates}
    refused: dict[Key, str] = {}
    for number, image_id in enumerate(ids):
        true = target(image_id)
        for key, (competition, entry) in candidates.items():
            if key in refused:
                continue
            try:
                rows[key].append(metric.row(image_id, competition.process(entry(number), true), true))
            except ValueError as error:
                if number or key[0] != "member":
                    raise
                refused[key] = f"not scored: {error}"
    return {key: refused[key] if key in refused else float(metric.reduce(np.stack(own))) for key, own in rows.items()}

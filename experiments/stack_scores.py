"""What a second-level model is worth beside its members, out of fold."""

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
Candidate = tuple[Competition, Callable[[int], Arrays]]  # a chain, and what gives the arrays of image number n


def scores_of(
    inputs: Inputs,
    problem: ImageProblem | ObjectProblem,
    predictions: np.ndarray,
    alone: Sequence[np.ndarray],
    model: str,
) -> dict[str, Any]:
    """Score members, stack and every repetition alone; prints them.

    Args:
        inputs: images and members.
        problem: makes entries of predictions.
        predictions: of the out-of-fold images, as `problem.predictions` gives them.
        alone: the same of each repetition.
        model: what the second level is called.

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
    scores = score_all(competition.metric, candidates, ids, inputs.truth)
    singles = {name: score for (kind, name), score in scores.items() if kind == "member"}
    each = [score for (kind, _), score in scores.items() if kind == "repeat"]
    stack, width = scores["stack", ""], max(map(len, [*singles, "one repetition"]))
    chain = "the configured chain" if problem.postprocess is None else "the configured chain, the stack after its own"
    print(f"out of fold, {type(competition.metric).__name__} after {chain}:")
    for label, score in singles.items():
        print(f"  {label:<{width}}  " + (score if isinstance(score, str) else f"{score:.5f}"))
    if each:
        print(f"  {'one repetition':<{width}}  {np.mean(each):.5f}  (spread {np.std(each):.5f} over {len(each)})")
    print(f"  {'stack':<{width}}  {stack:.5f}  ({model}; no model saw what it is scored on)")
    for label, score in singles.items():
        if not isinstance(score, str) and better(score, stack, competition.metric.higher_is_better):
            print(f"  {label} alone is as good, or better")
    return {"singles": singles, "score": stack, "repeat_scores": each}


def score_all(
    metric: CompetitionMetric,
    candidates: dict[Key, Candidate],
    ids: Sequence[str],
    truth: Callable[[str], Arrays],
) -> dict[Key, float | str]:
    """Score several predictions of the same images; each truth is read once.

    Args:
        metric: of the competition.
        candidates: what is scored; members under `("member", name)`.
        ids: the images.
        truth: reads the target arrays of an image.

    Returns:
        Score of each; of a member that the chain cannot take (it has no such output), why.
    """
    rows: dict[Key, list[np.ndarray]] = {key: [] for key in candidates}
    refused: dict[Key, str] = {}
    for number, image_id in enumerate(ids):
        true = truth(image_id)
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

"""Blending of several members' entries: resizing, the rule, and rounding by the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ensembling.box_rules import BoxRule, merge_boxes
from ensembling.ranks import Ranks
from ensembling.rules import average, maximum, median, normalised, sum_to_one
from ensembling.votes import union_of_agreeing, vote
from postprocessing.resize import Resize
from predictions.quantiser import Stored, restored, stored_as

Arrays = dict[str, np.ndarray]
Rule = Literal["mean", "weighted", "geometric", "harmonic", "logit", "rank", "median", "max", "vote", "union"]
WEIGHTED = ("mean", "weighted", "geometric", "harmonic", "logit", "rank")


@dataclass
class Blend:
    """How the entries of several members for an image are combined.

    Args:
        rule: `mean`, `geometric`, `harmonic`, `logit` (see `ensembling.rules.average`), `weighted` (a mean whose
            weights are searched unless given), `rank` (mean of ranks, `ensembling.ranks.Ranks`), `median`, `max`,
            `vote` (`ensembling.votes.vote`) or `union` (of masks that agree, `ensembling.votes.union_of_agreeing`).
        floor: smallest probability in the geometric, harmonic and logit mean.
        votes: number of members that must agree, for `vote` (default: more than half).
        threshold: probability threshold per member, for `vote` and `union`; one number or one per class.
        fallback: for `vote`: `union` where nothing has enough votes.
        commonest: for `vote`: labels of an image that still has none.
        agreement: smallest Dice coefficient of masks that agree, for `union`.
        softmax: names of outputs whose classes sum to 1; they are normalised again after blending.
        outputs: names of the outputs to blend; None: all, which must be the same for all members.
        boxes: names of outputs that are boxes `(n, 6)`.
        box_rule: rule for boxes: see `ensembling.box_rules.merge_boxes`.
        box_iou: IoU from which boxes are merged.
        ranks: for `rank`: ranks of each output, per member; filled in a first pass.
    """

    rule: Rule = "mean"
    floor: float = 1e-3
    votes: int | None = None
    threshold: float | list[float] = 0.5
    fallback: Literal["none", "union"] = "none"
    commonest: list[int] = field(default_factory=list)
    agreement: float = 0.7
    softmax: list[str] = field(default_factory=list)
    outputs: list[str] | None = None
    boxes: list[str] = field(default_factory=list)
    box_rule: BoxRule = "wbf"
    box_iou: float = 0.55
    ranks: list[dict[str, Ranks]] = field(default_factory=list)

    def __call__(self, entries: Sequence[Arrays | None], weights: Sequence[float] | None = None) -> Arrays:
        """Blend the entries of one image.

        Args:
            entries: entry of each member; None if it lacks the image, and the others are blended. Arrays are resized to
                the size of the first: probabilities linearly.
            weights: weight of each member (default: equal).

        Raises:
            ValueError: outputs or shapes differ, or values are invalid for the rule; names the output.
        """
        present = [number for number, entry in enumerate(entries) if entry is not None]
        shares = normalised(weights, len(entries))[present]
        if not shares.any():  # only members without weight have this image
            shares = np.ones(len(present))
        given = [entry for entry in entries if entry is not None]
        result = {}
        for name in self._names(given):
            try:
                arrays = [entry[name] for entry in given]
                if name in self.boxes:
                    result[name] = merge_boxes(arrays, self.box_rule, self.box_iou, shares)
                    continue
                if self.ranks:
                    arrays = [self.ranks[m][name].rank(array) for m, array in zip(present, arrays, strict=True)]
                result[name] = self._merge(same_size(arrays, name), shares)
                if name in self.softmax:
                    result[name] = sum_to_one(result[name])
            except ValueError as error:
                raise ValueError(f"output {name!r}: {error}") from error
        return result

    def aligned(self, entries: Sequence[Arrays | None]) -> dict[str, list[np.ndarray]]:
        """Arrays of all members by output, at one size, without boxes; empty if a member lacks the image."""
        given = [entry for entry in entries if entry is not None]
        if len(given) < len(entries):
            return {}
        names = [name for name in self._names(given) if name not in self.boxes]
        return {name: same_size([entry[name] for entry in given], name) for name in names}

    def of_runs(self, entries: list[Arrays]) -> Arrays:
        """Combine the folds of one member into one entry.

        Uses the rule itself if that averages a function of the values, so that 9 folds of 3 members are one geometric
        mean of 27; uses the mean for ranks, votes, medians and maxima, which count members.
        """
        rule = self.rule if self.rule in ("geometric", "harmonic", "logit") else "mean"
        own = Blend(rule, self.floor, outputs=self.outputs, boxes=self.boxes, box_rule=self.box_rule)
        own.softmax, own.box_iou = self.softmax, self.box_iou
        return own(entries)

    def _merge(self, arrays: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
        if self.rule == "median":
            return median(arrays)
        if self.rule == "max":
            return maximum(arrays)
        if self.rule == "vote":
            return vote(arrays, self.votes, self.threshold, self.fallback, self.commonest).astype(np.float32)
        if self.rule == "union":
            return union_of_agreeing(arrays, self.agreement, threshold=self.threshold).astype(np.float32)
        if self.rule == "weighted" or self.rule == "rank":  # compared one by one for the type checker
            return average(arrays, "mean", weights, self.floor)
        return average(arrays, self.rule, weights, self.floor)

    def _names(self, entries: list[Arrays]) -> list[str]:
        if self.outputs is not None:
            return self.outputs
        names = sorted(entries[0])
        for entry in entries[1:]:
            if sorted(entry) != names:
                raise ValueError(
                    f"members have the outputs {names} and {sorted(entry)}; select common ones with --outputs"
                )
        return names


def same_size(arrays: list[np.ndarray], name: str) -> list[np.ndarray]:
    """Resize maps `(C, H, W)` to the height and width of the first.

    Raises:
        ValueError: not probabilities, or shapes that differ in more than height and width.
    """
    for array in arrays:
        if array.dtype.kind not in "fb":
            raise ValueError(f"{array.dtype} cannot be averaged; select outputs of probabilities with --outputs")
    wanted = arrays[0].shape
    for array in arrays:
        # Only 2-D images are resized: slices of volumes may not correspond.
        images = len(wanted) == array.ndim == 3 and array.shape[0] == wanted[0]
        if array.shape != wanted and not images:
            raise ValueError(
                f"members have the shapes {wanted} and {array.shape}; map different classes to common ones with --heads"
            )
    if all(array.shape == wanted for array in arrays):
        return arrays
    resize = Resize(list(wanted[-2:]), name)
    return [array if array.shape == wanted else resize({name: array})[name] for array in arrays]


def as_stored(entry: Arrays, dtype: Stored) -> Arrays:
    """Round an entry as the store does: weights are found on what will be scored."""
    return {name: restored(*stored_as(array, dtype)) for name, array in entry.items()}

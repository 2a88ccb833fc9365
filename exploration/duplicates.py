"""Duplicates and near duplicates among the images of a dataset."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from exploration.facts import ImageFacts
from preprocessing.duplicates import Pair, connected_groups, equal_pairs, near_by_correlation, near_by_hash

KINDS = ("bytes", "pixels", "correlation", "hash")
TURNED_CORRELATION = 0.5


@dataclass
class Duplicates:
    """Pairs and groups of duplicates among all images of all splits.

    Args:
        pairs: kind -> pairs of indices; `bytes` and `pixels` are exact, `correlation` and `hash` near duplicates.
        group: smallest index in the group of each image, `(N,)`; exact and near duplicates together.
        kind: strongest kind that joins each image to its group; empty for images without duplicates.
    """

    pairs: dict[str, list[Pair]]
    group: np.ndarray
    kind: list[str]

    def groups(self, kinds: tuple[str, ...] = KINDS) -> list[list[int]]:
        """Return the groups of several images joined by the given kinds of pairs, the largest first."""
        found = connected_groups(len(self.group), [pair for kind in kinds for pair in self.pairs[kind]])
        members: dict[int, list[int]] = {}
        for index, group in enumerate(found.tolist()):
            members.setdefault(group, []).append(index)
        return sorted((group for group in members.values() if len(group) > 1), key=lambda group: (-len(group), group))


def find_duplicates(
    facts: list[ImageFacts], correlation: float = 0.95, distance: int = 4, turned: bool = True
) -> Duplicates:
    """Find exact duplicates by bytes and pixels, and near duplicates by correlation and perceptual hash.

    Args:
        facts: facts about all images.
        correlation: minimum correlation, see `near_by_correlation`; images with different numbers of channels never
            match.
        distance: maximum Hamming distance, see `near_by_hash`; the default is stricter than for photographs, because
            fields of one microscope look alike.
        turned: also find rotated and flipped duplicates, by hash. The thumbnails of such a pair must agree as well.
    """
    # Slices and frames of one file share its bytes, but are not duplicates.
    sources = Counter(fact.bytes_hash + fact.path for fact in facts if fact.bytes_hash)
    whole = [
        fact.bytes_hash if fact.bytes_hash and sources[fact.bytes_hash + fact.path] == 1 else None for fact in facts
    ]
    pairs = {
        "bytes": equal_pairs(whole),
        "pixels": equal_pairs([None if f.partial or f.pixel_hash is None else f.pixel_hash for f in facts]),
        "correlation": [],
        "hash": [],
    }
    for channels in sorted({fact.channels for fact in facts if fact.error is None}):
        places = [index for index, fact in enumerate(facts) if fact.error is None and fact.channels == channels]
        thumbnails = np.stack([facts[index].thumbnail for index in places])
        near = near_by_correlation(thumbnails, correlation)
        pairs["correlation"] += [(places[one], places[other]) for one, other in near]
        hashes = np.stack([facts[index].hashes for index in places])
        for one, other in near_by_hash(hashes if turned else hashes[:, 0], distance):
            if _alike(thumbnails[one], thumbnails[other], turned):
                pairs["hash"].append((places[one], places[other]))
    group = connected_groups(len(facts), [*(pair for kind in KINDS for pair in pairs[kind]), *_equal_ids(facts)])
    kind = [""] * len(facts)
    for name in reversed(KINDS):
        for pair in pairs[name]:
            for index in pair:
                kind[index] = name
    return Duplicates(pairs, group, kind)


def _equal_ids(facts: list[ImageFacts]) -> list[Pair]:
    """Return pairs of images with equal ids in two splits: they need one group for a join by id."""
    return equal_pairs([fact.image_id for fact in facts])


def _alike(one: np.ndarray, other: np.ndarray, turned: bool) -> bool:
    """Return whether two thumbnails correlate in some rotation: hashes of dark fields with a few spots can be equal."""
    one, other = (part.mean(axis=0) for part in (one, other))
    one = one - one.mean()
    sides = (other, other[:, ::-1]) if turned else (other,)
    for side in sides:
        for turn in range(4 if turned else 1):
            candidate = np.rot90(side, turn)
            candidate = candidate - candidate.mean()
            length = np.linalg.norm(one) * np.linalg.norm(candidate)
            if length and float((one * candidate).sum()) / length >= TURNED_CORRELATION:
                return True
    return False


def duplicates_table(facts: list[ImageFacts], duplicates: Duplicates) -> pd.DataFrame:
    """Return a table `image_id, duplicate_group, kind, split`, for `data.metadata` and `cv.group: duplicate_group`.

    One row per image. The name of a group is the id of its first image; an image without duplicates is its own group.
    """
    return pd.DataFrame(
        {
            "image_id": [fact.image_id for fact in facts],
            "duplicate_group": [facts[index].image_id for index in duplicates.group],
            "kind": duplicates.kind,
            "split": [fact.split for fact in facts],
        }
    )


def across(facts: list[ImageFacts], groups: list[list[int]]) -> list[list[int]]:
    """Return the groups with images of both train and test."""
    return [group for group in groups if len({facts[index].split for index in group}) > 1]


def contradictions(facts: list[ImageFacts], groups: list[list[int]]) -> list[list[int]]:
    """Return the groups whose images have different image-level labels."""
    wrong = []
    for group in groups:
        labels = {
            tuple(
                sorted(
                    (name, tuple(target.labels))
                    for name, target in facts[index].target.items()
                    if target.kind == "labels"
                )
            )
            for index in group
            if facts[index].target
        }
        if len(labels) > 1:
            wrong.append(group)
    return wrong


def split_groups(facts: list[ImageFacts], duplicates: Duplicates, folds: pd.DataFrame) -> list[list[int]]:
    """Return the groups of duplicates whose training images are in different folds."""
    fold = dict(zip(folds["image_id"], folds["fold"], strict=True))
    wrong = []
    for group in duplicates.groups():
        held = {fold.get(facts[index].image_id) for index in group if facts[index].split == "train"} - {None}
        if len(held) > 1:
            wrong.append(group)
    return wrong

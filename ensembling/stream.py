"""From the stores of the members to the store of the ensemble, one image at a time."""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ensembling.blend import Arrays, Blend
from ensembling.duplicates import copies_among, mean_of_copies
from ensembling.members import MemberSplit
from ensembling.ranks import Ranks
from predictions.store import PredictionStore


class Stream:
    """The members' entries of one split, and the blend of each image.

    Args:
        parts: the split of every member.
        blend: how entries are made one; for ranks a first pass over all images fills a copy of it.
        ids: the images.
    """

    def __init__(self, parts: Sequence[MemberSplit], blend: Blend, ids: Sequence[str]) -> None:
        self.parts, self.blend, self.ids = list(parts), blend, list(ids)
        if blend.rule == "rank":
            self._fill_ranks()

    def entries(self, image_id: str) -> list[Arrays | None]:
        """What each member says, its folds merged; None of one that lacks the image."""
        return [
            part.entry(image_id, self.blend.of_runs, self.blend.outputs) if image_id in part else None
            for part in self.parts
        ]

    def __call__(self, image_id: str, weights: Sequence[float] | None) -> Arrays:
        """The blend of one image.

        Raises:
            ValueError: what a member's store or the rule says; names the image.
        """
        try:
            return self.blend(self.entries(image_id), weights)
        except ValueError as error:
            if repr(image_id) in str(error):
                raise
            raise ValueError(f"image {image_id!r}: {error}") from error

    def _fill_ranks(self) -> None:
        from tqdm import tqdm

        self.blend = Blend(**vars(self.blend) | {"ranks": []})
        ranks: list[dict[str, Ranks]] = [{} for _ in self.parts]
        for image_id in tqdm(self.ids, desc="ranks", unit=" images", disable=None):
            for own, entry in zip(ranks, self.entries(image_id), strict=True):
                for name, array in (entry or {}).items():
                    if name not in self.blend.boxes:
                        own.setdefault(name, Ranks()).add(array)
        for own in ranks:
            for each in own.values():
                each.finish()
        self.blend.ranks = ranks


def write(
    stream: Stream,
    store: PredictionStore,
    weights: Callable[[str], Sequence[float] | None],
    fingerprint: str,
    dtype: Literal["uint8", "float16", "float32"] = "uint8",
    groups: dict[str, str] | None = None,
) -> int:
    """Write the blend of every image that the store lacks; a stopped run goes on where it stopped.

    In memory are the arrays of one image at a time, also of copies: those are read twice.

    Args:
        stream: the members.
        store: where to.
        weights: of the members, for an image: out of fold they differ by its fold.
        fingerprint: hash of everything that the result depends on.
        dtype: see `PredictionStore.write`.
        groups: image id -> group of copies, whose image-level outputs are averaged; see `ensembling.duplicates`.

    Returns:
        How many images were written.

    Raises:
        ValueError, KeyError: of a member's store or the rule.
    """
    from tqdm import tqdm

    if groups and not groups.keys() & set(stream.ids):
        warnings.warn(
            f"none of the {len(groups)} images that have copies, {next(iter(groups))!r} first, is among the "
            f"{len(stream.ids)} predicted ones, {stream.ids[0]!r} first; no copies are averaged",
            stacklevel=2,
        )
    made_from = [one for part in stream.parts for one in part.stores]
    left = set(store.begin(stream.ids, fingerprint, stores=made_from))
    bar = tqdm(desc=store.path.name, total=len(left), unit=" images", disable=None)
    with bar:
        for copies in copies_among(stream.ids, groups or {}):
            wanted = [image_id for image_id in copies if image_id in left]
            if not wanted:
                continue
            means: Arrays = {}
            if len(copies) > 1:
                means = mean_of_copies(image_level(stream(one, weights(one))) for one in copies)
            for image_id in wanted:
                store.write(image_id, stream(image_id, weights(image_id)) | means, dtype)
                bar.update()
    store.finish()
    return len(left)


def image_level(entry: Arrays) -> dict[str, np.ndarray]:
    """The probabilities `(C,)` of an entry, without its maps."""
    return {name: array for name, array in entry.items() if array.ndim == 1 and array.dtype.kind == "f"}

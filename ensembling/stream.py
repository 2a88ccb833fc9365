"""Streaming of images from the members' stores through the blend to the store of the ensemble."""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ensembling.blend import Arrays, Blend
from ensembling.duplicates import copies_among, mean_of_copies
from ensembling.members import MemberSplit
from ensembling.ranks import Ranks
from files.progress import progress
from predictions.store import PredictionStore


class Stream:
    """Entries of the members for one split, and the blend of each image.

    Args:
        parts: predictions of every member for the split.
        blend: blending rule; for ranks a first pass over all images fills a copy of it.
        ids: image ids.
    """

    def __init__(self, parts: Sequence[MemberSplit], blend: Blend, ids: Sequence[str]) -> None:
        self.parts, self.blend, self.ids = list(parts), blend, list(ids)
        if blend.rule == "rank":
            self._fill_ranks()

    def entries(self, image_id: str) -> list[Arrays | None]:
        """Entry of each member, with its folds merged; None if it lacks the image."""
        return [
            part.entry(image_id, self.blend.of_runs, self.blend.outputs) if image_id in part else None
            for part in self.parts
        ]

    def __call__(self, image_id: str, weights: Sequence[float] | None) -> Arrays:
        """Blend one image.

        Raises:
            ValueError: an error of a member's store or the rule; names the image.
        """
        try:
            return self.blend(self.entries(image_id), weights)
        except ValueError as error:
            if repr(image_id) in str(error):
                raise
            raise ValueError(f"image {image_id!r}: {error}") from error

    def _fill_ranks(self) -> None:
        self.blend = Blend(**vars(self.blend) | {"ranks": []})
        ranks: list[dict[str, Ranks]] = [{} for _ in self.parts]
        for image_id in progress(self.ids, "ranks", unit=" images"):
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
    """Write the blend of every image that the store lacks; a stopped run continues where it stopped.

    Only the arrays of one image are in memory; duplicates are read twice.

    Args:
        stream: entries of the members.
        store: store to write to.
        weights: function from an image id to the weights of the members: out of fold they depend on its fold.
        fingerprint: hash of everything that the result depends on.
        dtype: see `PredictionStore.write`.
        groups: group of duplicates by image id; their image-level outputs are averaged, see `ensembling.duplicates`.

    Returns:
        Number of images written.

    Raises:
        ValueError, KeyError: an error of a member's store or the rule.
    """
    if groups and not groups.keys() & set(stream.ids):
        warnings.warn(
            f"none of the {len(groups)} images with duplicates, first {next(iter(groups))!r}, is among the "
            f"{len(stream.ids)} predicted ones, first {stream.ids[0]!r}; no duplicates are averaged",
            stacklevel=2,
        )
    made_from = [one for part in stream.parts for one in part.stores]
    left = set(store.begin(stream.ids, fingerprint, stores=made_from))
    bar = progress(desc=store.path.name, total=len(left), unit=" images")
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
    """Image-level probabilities `(C,)` of an entry, without its maps."""
    return {name: array for name, array in entry.items() if array.ndim == 1 and array.dtype.kind == "f"}

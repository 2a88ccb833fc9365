"""Members of an ensemble: experiments, single runs, folders of predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ensembling.heads import OutputMapping
from files.texts import read_json
from predictions.store import PredictionStore, read_finite

Arrays = dict[str, np.ndarray]
OUT_OF_FOLD = "val"


class Member:
    """A model of an ensemble: an experiment with all its folds, one run, or a `predictions` folder.

    Args:
        path: `runs/a` (every `runs/a/<fold>/predictions`), `runs/a/fold0`, or any folder of prediction stores.
        heads: mapping of its outputs; None leaves them unchanged.

    Raises:
        FileNotFoundError: there are no predictions.
    """

    def __init__(self, path: Path | str, heads: OutputMapping | None = None) -> None:
        self.path, self.heads = Path(path), heads
        own = self.path / "predictions"
        if any(self.path.glob("*/manifest.json")):
            self.folders = [self.path]
        elif own.is_dir():
            self.folders = [own]
        else:
            self.folders = sorted(folder for folder in self.path.glob("*/predictions") if folder.is_dir())
        if not self.splits():
            raise FileNotFoundError(
                f"found no predictions in {self.path}, {own} or {self.path}/*/predictions; make them first: "
                f"python cli.py predict {self.path}"
            )

    @property
    def runs(self) -> list[Path]:
        """Run folders; empty for a bare folder of predictions."""
        return [folder.parent for folder in self.folders if (folder.parent / "config.yaml").is_file()]

    def splits(self) -> list[str]:
        """Names of the splits that at least one run has predicted."""
        return sorted({manifest.parent.name for folder in self.folders for manifest in folder.glob("*/manifest.json")})

    def open(self, split: str) -> "MemberSplit":
        """Open the predictions of one split; see `MemberSplit`."""
        return MemberSplit(self, split)


class MemberSplit:
    """Predictions of a member for the images of one split, one image at a time.

    Out of fold (`val`) each image is in the store of the run that was not trained on it; if runs have splits of their
    own (`cv.seed_per_fold`), it may be in several stores or none. In other splits every run has all images. Predictions
    of several runs for an image are averaged, as in `submit`.

    Args:
        member: member of the ensemble.
        split: `val`, `test` or the name of a predicted folder.

    Attributes:
        run: index of the (first) run that predicted each image id out of fold (0 in other splits).

    Raises:
        FileNotFoundError: a run has not predicted the split.
        ValueError: a store is not finished, or an image is in two out-of-fold stores of the same folds; names the
            image.
    """

    def __init__(self, member: Member, split: str) -> None:
        self.member, self.split = member, split
        self.stores: list[PredictionStore] = []
        self.holders: dict[str, list[PredictionStore]] = {}
        self.run: dict[str, int] = {}
        for number, folder in enumerate(member.folders):
            store = PredictionStore(folder / split)
            if split == OUT_OF_FOLD and store.manifest_path.is_file() and not store.manifest()["ids"]:
                continue  # a run on all rows has no out-of-fold images
            _check_whole(store)
            for image_id in store.manifest()["ids"]:
                others = self.holders.setdefault(image_id, [])
                if split == OUT_OF_FOLD and any(_division(store) in (None, _division(other)) for other in others):
                    raise ValueError(
                        f"image {image_id!r} has out-of-fold predictions in two runs, {others[0].path} and {store.path}"
                    )
                others.append(store)
                self.run.setdefault(image_id, number if split == OUT_OF_FOLD else 0)
            self.stores.append(store)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.holders

    def ids(self) -> set[str]:
        """Ids of all images that at least one run has."""
        return set(self.holders)

    def lacking(self) -> tuple[str, PredictionStore] | None:
        """An image that only some runs have, and a store that lacks it."""
        if self.split != OUT_OF_FOLD:
            for image_id in sorted(self.holders):
                if len(self.holders[image_id]) < len(self.stores):
                    return image_id, next(store for store in self.stores if store not in self.holders[image_id])
        return None

    def entry(self, image_id: str, merge: Callable[[list[Arrays]], Arrays], names: list[str] | None = None) -> Arrays:
        """Arrays of one image.

        Args:
            image_id: id of an image of the member.
            merge: function that combines the entries of several runs.
            names: names of the outputs to read (default: all, or those that `heads` uses).

        Raises:
            ValueError: a damaged file, a value that is not finite, or an error of `heads`; names file or image and
                output.
            KeyError: there is no such output.
        """
        entries, heads = [], self.member.heads
        for store in self.holders[image_id]:
            entry = read_finite(store, image_id, names if heads is None else heads.sources)
            try:
                entries.append(entry if heads is None else heads(entry))
            except ValueError as error:
                raise ValueError(f"{store.path}, image {image_id!r}: {error}") from error
        return entries[0] if len(entries) == 1 else merge(entries)

    def fingerprint(self) -> list[str]:
        """Inputs of the stores, for the fingerprint of the ensemble."""
        stores = [store.state() for store in self.stores]
        return stores if self.member.heads is None else [*stores, repr(self.member.heads.taken)]


def common_ids(parts: list[MemberSplit], skip: bool) -> list[str]:
    """Sorted ids of the images of an ensemble.

    Args:
        parts: predictions of every member for the same split.
        skip: whether to include images that some members or runs lack; they are averaged over the others.

    Raises:
        ValueError: a member lacks an image and `skip` is not set; names both.
    """
    ids = sorted(set().union(*(part.ids() for part in parts)))
    if skip:
        return ids
    for part in parts:
        for image_id in ids:
            if image_id not in part:
                has = next(other for other in parts if image_id in other)
                count = sum(one not in part for one in ids)
                raise ValueError(
                    f"{part.member.path} has no {part.split} prediction of image {image_id!r}, but {has.member.path} "
                    f"has ({count} images in all); predict the same images with every member, or average those "
                    "that have them with --missing skip"
                )
        missing = part.lacking()
        if missing is not None:
            raise ValueError(
                f"{missing[1].path} has no image {missing[0]!r}, but other folds of {part.member.path} have; run "
                "predict again, or use --missing skip"
            )
    return ids


def _division(store: PredictionStore) -> str | None:
    """Hash of the folds that a store's run was trained with; None if unknown."""
    facts = store.path.parents[1] / "run.json"
    return read_json(facts).get("folds_hash") if facts.is_file() else None


def _check_whole(store: PredictionStore) -> None:
    """Check that a store is complete; names a missing image."""
    if store.manifest_path.is_file():
        missing = sorted(set(store.manifest()["ids"]) - set(store.ids()))
        if missing:
            raise ValueError(
                f"{store.path} is incomplete: image {missing[0]!r} and {len(missing) - 1} more are missing; run "
                "predict again to continue"
            )
    PredictionStore.open(store.path)

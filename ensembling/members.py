"""The predictions that an ensemble is made of: experiments, single runs, folders of predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ensembling.heads import Heads
from files.texts import read_json
from predictions.store import PredictionStore, read_finite

Arrays = dict[str, np.ndarray]
OUT_OF_FOLD = "val"


class Member:
    """One model of an ensemble: an experiment with all its folds, one run, or a `predictions` folder.

    Args:
        path: `runs/a` (every `runs/a/<fold>/predictions`), `runs/a/fold0`, or any folder that holds prediction stores.
        heads: what its outputs become; None leaves them as they are.

    Raises:
        FileNotFoundError: no predictions there.
    """

    def __init__(self, path: Path | str, heads: Heads | None = None) -> None:
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
                f"no predictions in {self.path}, {own} or {self.path}/*/predictions; write them first: "
                f"python cli.py predict {self.path}"
            )

    @property
    def runs(self) -> list[Path]:
        """The run folders; empty for a bare folder of predictions."""
        return [folder.parent for folder in self.folders if (folder.parent / "config.yaml").is_file()]

    def splits(self) -> list[str]:
        """Names of the splits that any of the runs has predicted."""
        return sorted({manifest.parent.name for folder in self.folders for manifest in folder.glob("*/manifest.json")})

    def open(self, split: str) -> "MemberSplit":
        """Its predictions of one split; see `MemberSplit`."""
        return MemberSplit(self, split)


class MemberSplit:
    """What a member says of the images of one split, one image at a time.

    Out of fold (`val`) each image lies in the store of the one run that did not see it; where runs have divisions of
    their own (`cv.seed_per_fold`), several may not have seen it, and others none. Of any other split every run has all
    images. An image that several runs have gets the average of theirs, as `submit` takes it.

    Args:
        member: the member.
        split: `val`, `test` or the name of a folder that was predicted.

    Attributes:
        run: image id -> number of the (first) run whose model predicted it out of fold (0 in other splits).

    Raises:
        FileNotFoundError: a run has not predicted the split.
        ValueError: a store is not finished, or an image lies in two out-of-fold stores of one division; names the
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
                continue  # a run on all rows has nothing out of fold
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
        """Every image that at least one of its runs has."""
        return set(self.holders)

    def lacking(self) -> tuple[str, PredictionStore] | None:
        """An image that one of its runs lacks although another has it, and the store that lacks it."""
        if self.split != OUT_OF_FOLD:
            for image_id in sorted(self.holders):
                if len(self.holders[image_id]) < len(self.stores):
                    return image_id, next(store for store in self.stores if store not in self.holders[image_id])
        return None

    def entry(self, image_id: str, merge: Callable[[list[Arrays]], Arrays], names: list[str] | None = None) -> Arrays:
        """Its arrays of one image.

        Args:
            image_id: an image it has.
            merge: makes one entry of those of several runs.
            names: outputs to read; all by default, and those that `heads` takes where the member has them.

        Raises:
            ValueError: a damaged file, a value that is not finite, or what `heads` refuses; names file or image and
                output.
            KeyError: it has no such output.
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
        """What the stores were made from, for the fingerprint of the ensemble."""
        stores = [store.state() for store in self.stores]
        return stores if self.member.heads is None else [*stores, repr(self.member.heads.taken)]


def common_ids(parts: list[MemberSplit], skip: bool) -> list[str]:
    """The images of an ensemble, sorted.

    Args:
        parts: the same split of every member.
        skip: take images that some members (or runs of them) lack, too; they are averaged over the others.

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
                    f"{part.member.path} has no {part.split} prediction of image {image_id!r}, {has.member.path} has "
                    f"({count} images in all); predict the same images with every member, or --missing skip averages "
                    "those that have them"
                )
        missing = part.lacking()
        if missing is not None:
            raise ValueError(
                f"{missing[1].path} has no image {missing[0]!r}, other folds of {part.member.path} have; "
                "run predict again, or --missing skip"
            )
    return ids


def _division(store: PredictionStore) -> str | None:
    """Hash of the folds that a store's run was trained with; None where nobody knows."""
    facts = store.path.parents[1] / "run.json"
    return read_json(facts).get("folds_hash") if facts.is_file() else None


def _check_whole(store: PredictionStore) -> None:
    """Name an image that a store lacks; `PredictionStore.open` tells the rest."""
    if store.manifest_path.is_file():
        missing = sorted(set(store.manifest()["ids"]) - set(store.ids()))
        if missing:
            raise ValueError(
                f"{store.path} is half-written: image {missing[0]!r} and {len(missing) - 1} more are missing; "
                "run predict again, it will go on"
            )
    PredictionStore.open(store.path)

"""Targets of the competition's images and of external images."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.decoder import Arrays, Decoder, derive
from datamodules.external.base import ExternalData
from datamodules.readers import Reader
from datamodules.row import Row
from datamodules.targets import Labels, LongLabels, Target
from masks.void import foreground
from preprocessing.base import Preprocess


class TargetSources:
    """Targets and image readers of all data sets; builds the decoders that read them.

    Args:
        root: folder of the competition's files.
        reader: reader of its images.
        targets: its targets.
        preprocessing: steps applied to every image after reading.
        external: external data sets; those without a reader or targets use the ones above.

    Raises:
        ValueError: if a preprocessing step changes the shape of images, or two data sets have the same name.
    """

    def __init__(
        self,
        root: str,
        reader: Reader,
        targets: list[Target],
        preprocessing: Sequence[Preprocess] = (),
        external: Sequence[ExternalData] = (),
    ) -> None:
        self.root, self.reader, self.targets = Path(root), reader, targets
        self.preprocessing, self.external = preprocessing, external
        moving = [type(step).__name__ for step in preprocessing if step.changes_shape]
        if moving:
            raise ValueError(
                f"data.preprocessing: {moving[0]} changes the shape of images, but predictions need the shape of the "
                "file; run it once with `python cli.py prepare`, or set model.inference.size and resize in "
                "data.augmentation"
            )
        sources = [data.source for data in external]
        twice = [source for source in sources if sources.count(source) > 1]
        if twice:
            raise ValueError(f"data.external: two data sets have the source {twice[0]!r}")
        self._prepared = False
        self._external_tables: list[pd.DataFrame] | None = None

    def prepare(self, table: Callable[[], pd.DataFrame]) -> None:
        """Let the targets read their tables and report missing files; only the first call has an effect.

        Args:
            table: function that returns the table of all training images.
        """
        if not self._prepared:
            images = table()
            for target in self.targets:
                target.prepare(images, self.root)
            self._prepared = True

    def decoder(self, targets: list[Target], external: bool = False) -> Decoder:
        """Return a decoder of rows with these targets; with `external`, also of external rows with their own."""
        return Decoder(self.reader, targets, self.preprocessing, self.others() if external else None)

    def readers(self) -> Decoder:
        """Return a decoder of images without targets, with the own readers of external data."""
        others = {data.source: (data.reader or self.reader, []) for data in self.external}
        return Decoder(self.reader, [], self.preprocessing, others)

    def of(self, row: Row) -> Arrays:
        """Return the target arrays of a row at the image's size, as in validation."""
        _, arrays = self.decoder(self.targets).read(row)
        return derive(for_evaluation(self.targets), arrays)

    def has_foreground(self, rows: list[Row], key: str) -> list[bool]:
        """Return which training rows have a non-empty mask.

        Args:
            rows: rows of the competition and of external data.
            key: config key of the setting that needs it, for messages.

        Raises:
            ValueError: if all masks are empty, or there are no masks.
        """
        decoder = self.decoder(self.targets, external=True)
        found = [foreground_area(decoder.target_arrays(row), key) > 0 for row in rows]
        if not any(found):
            raise ValueError(f"{key}: the masks of all {len(rows)} training images are empty")
        return found

    def labels(self, name: str) -> dict[str, Labels | LongLabels]:
        """Return the image-level target with a name in each data set, by the source of external rows, `""` for others.

        Raises:
            ValueError: if a data set has no target with this name.
        """
        others = self.others() if self.external else {}
        targets_of = {"": self.targets} | {source: targets for source, (_, targets) in others.items()}
        own = {
            source: next((t for t in targets if isinstance(t, Labels | LongLabels) and t.name == name), None)
            for source, targets in targets_of.items()
        }
        lacking = next((source for source, target in own.items() if target is None), None)
        if lacking is not None:
            where = f"the external set {lacking!r}" if lacking else "data.targets"
            raise ValueError(
                f"{where} has no target {name!r} of datamodules.targets.Labels or LongLabels, which gives image classes"
            )
        return own

    def external_tables(self) -> list[pd.DataFrame]:
        """Return the tables of the external data sets; found once."""
        if self._external_tables is None:
            self._external_tables = [data.table() for data in self.external]
        return self._external_tables

    def others(self) -> dict[str, tuple[Reader, list[Target]]]:
        """Return the reader and prepared targets of each external data set."""
        others = {}
        for data, table in zip(self.external, self.external_tables(), strict=True):
            targets = copy.deepcopy(self.targets if data.targets is None else data.targets)
            reader = data.reader or self.reader
            for target in targets:
                if data.targets is None:
                    target.from_columns(list(table.columns))
                target.follow(reader)
                target.prepare(table, Path(data.root))
            others[data.source] = reader, targets
        return others


def prepare_test_targets(targets: list[Target], table: Callable[[], pd.DataFrame], root: str) -> None:
    """Let the targets of the test images read their tables and report missing files.

    Args:
        targets: `data.test_targets`.
        table: function that returns the table of the test images.
        root: folder of the competition's files.

    Raises:
        ValueError: if there are no targets.
    """
    if not targets:
        raise ValueError(
            "the targets of the test images are unknown: data.test_targets is not set; `validate` scores the "
            "validation fold instead"
        )
    images = table()
    for target in targets:
        target.prepare(images, Path(root))


def name_classes(targets: list[Target], names: list[str] | None) -> None:
    """Let targets adopt the class names of `data.classes`.

    Raises:
        ValueError: if names are empty or repeated, a target's own classes differ, or a target lacks them.
    """
    if names is not None and (not names or len(set(names)) < len(names) or not all(name.strip() for name in names)):
        raise ValueError(f"data.classes is {names}, expected the names of all classes, each once")
    for target in targets:
        target.take_classes(names)


def agreed_names(targets: list[Target], root: Path) -> list[str] | None:
    """Return the class names of the targets; None if they have none, or different ones.

    Args:
        targets: targets, prepared or not.
        root: folder of their files.
    """
    found = [names for target in targets if (names := target.class_names(root)) is not None]
    return found[0] if found and all(names == found[0] for names in found) else None


def for_evaluation(targets: list[Target]) -> list[Target]:
    """Return the targets used in validation and scoring."""
    return [target for target in targets if not target.training_only]


def foreground_area(arrays: Arrays, wanted_by: str = "cv.stratify: area") -> int:
    """Return the number of valid foreground pixels of the first spatial target; nonzero if boxes have any."""
    spatial = next((name for name, array in arrays.items() if array.ndim >= 2 and name != "valid"), None)
    if spatial is None:
        raise ValueError(f"{wanted_by} needs a target with pixels, but the config has none")
    return int(np.count_nonzero(foreground(arrays, spatial)))

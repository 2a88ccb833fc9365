"""What is known about images: the targets of the competition's own rows and of external ones."""

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


class Truth:
    """Targets with the readers of their images; makes the decoders that read both.

    Args:
        root: folder of the competition's files.
        reader: reads its images.
        targets: its sources of truth.
        preprocessing: what every image goes through after it is read.
        external: data sets from elsewhere; those without a reader or targets have these.

    Raises:
        ValueError: a step of preprocessing that changes an image's shape, or two data sets of one name.
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
                f"data.preprocessing: {moving[0]} changes the shape of images, but predictions have that of the file; "
                "run it once with `python cli.py prepare`, or set model.inference.size and resize in data.augmentation"
            )
        sources = [data.source for data in external]
        twice = [source for source in sources if sources.count(source) > 1]
        if twice:
            raise ValueError(f"data.external: two data sets have the source {twice[0]!r}")
        self._prepared = False
        self._external_tables: list[pd.DataFrame] | None = None

    def prepare(self, table: Callable[[], pd.DataFrame]) -> None:
        """Let the targets read their tables and report what is missing, once.

        Args:
            table: makes that of all training images; not called again once they are prepared.
        """
        if not self._prepared:
            images = table()
            for target in self.targets:
                target.prepare(images, self.root)
            self._prepared = True

    def decoder(self, targets: list[Target], external: bool = False) -> Decoder:
        """Reads rows with these targets; with `external` those of external data too, with their own."""
        return Decoder(self.reader, targets, self.preprocessing, self.others() if external else None)

    def readers(self) -> Decoder:
        """Reads images alone, those of external data with their own readers."""
        others = {data.source: (data.reader or self.reader, []) for data in self.external}
        return Decoder(self.reader, [], self.preprocessing, others)

    def of(self, row: Row) -> Arrays:
        """Target arrays of a row at the image's size, as validation sees them."""
        _, arrays = self.decoder(self.targets).read(row)
        return derive(for_evaluation(self.targets), arrays)

    def has_foreground(self, rows: list[Row], key: str) -> list[bool]:
        """Which training rows have a mask with something in it.

        Args:
            rows: the competition's own and external ones.
            key: of the config that wants to know.

        Raises:
            ValueError: none has, or there are no masks.
        """
        decoder = self.decoder(self.targets, external=True)
        found = [foreground_area(decoder.truth(row), key) > 0 for row in rows]
        if not any(found):
            raise ValueError(f"{key}: none of {len(rows)} training images has anything in its mask")
        return found

    def labels(self, name: str) -> dict[str, Labels | LongLabels]:
        """The image-level target of a name in each set, by the source of external rows, `""` for all others.

        Raises:
            ValueError: a set without a target of this name.
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
                f"{where} has no target {name!r} of datamodules.targets.Labels or LongLabels: the classes of an image"
            )
        return own

    def external_tables(self) -> list[pd.DataFrame]:
        """The rows of each external data set, found once."""
        if self._external_tables is None:
            self._external_tables = [data.table() for data in self.external]
        return self._external_tables

    def others(self) -> dict[str, tuple[Reader, list[Target]]]:
        """Reader and prepared targets of each external data set."""
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
    """Let the targets of the test images read their tables and report what is missing.

    Args:
        targets: `data.test_targets`.
        table: makes that of the test images.
        root: folder of the competition's files.

    Raises:
        ValueError: there are no targets.
    """
    if not targets:
        raise ValueError(
            "the truth of the test images is not known: data.test_targets is not set. `validate` scores the "
            "validation fold"
        )
    images = table()
    for target in targets:
        target.prepare(images, Path(root))


def for_evaluation(targets: list[Target]) -> list[Target]:
    """The targets that validation and the score look at."""
    return [target for target in targets if not target.training_only]


def foreground_area(arrays: Arrays, wanted_by: str = "cv.stratify: area") -> int:
    """Pixels of the first spatial target that hold something and count; of boxes, whether there are any."""
    spatial = next((name for name, array in arrays.items() if array.ndim >= 2 and name != "valid"), None)
    if spatial is None:
        raise ValueError(f"{wanted_by} looks at masks, but the config has no target with pixels")
    return int(np.count_nonzero(foreground(arrays, spatial)))

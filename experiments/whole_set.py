"""`dataset_postprocess`: steps over all images, applied before the post-processing of each image."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from postprocessing.dataset_step import DatasetContext

Arrays = dict[str, np.ndarray]


def changed_outputs(
    config: OfflineConfig, ids: Sequence[str], read: Callable[[str, list[str]], Arrays], fold_of: dict[str, int]
) -> dict[str, Arrays]:
    """Apply `competition.dataset_postprocess` to the image-level outputs; return the changed arrays by image id.

    Args:
        config: config of the experiment.
        ids: all image ids of the set.
        read: function that reads the named outputs of an image; maps are never read.
        fold_of: validation fold of each image; empty for test images.

    Raises:
        SystemExit: if a step cannot be applied; gives the reason.
    """
    changed: dict[str, Arrays] = {image_id: {} for image_id in ids}
    for step in config.competition.dataset_postprocess:
        given = {
            image_id: own[step.output] if step.output in own else read(image_id, [step.output])[step.output]
            for image_id, own in changed.items()
        }
        try:
            found = step(given, DatasetContext(fold_of, lambda name=step.output: labels_of(config, name)))
        except ValueError as error:
            raise SystemExit(f"error: competition.dataset_postprocess: {error}") from error
        for image_id, array in found.items():
            changed[image_id][step.output] = array
    return changed


def labels_of(config: OfflineConfig, name: str) -> Arrays:
    """Target of an output for every training image, read without the images."""
    data = config.data
    data.prepare_data()
    data.prepare_targets()
    found = {row.image_id: data.raw_targets(row).get(name) for row in rows_of(data.table())}
    if any(value is None for value in found.values()):
        raise ValueError(f"the training images have no target {name!r}")
    return found


class Changed:
    """Picklable reader of an image's prediction with the changed outputs, for worker processes."""

    def __init__(self, read: Callable[[], Arrays], changed: Arrays) -> None:
        self.read, self.changed = read, changed

    def __call__(self) -> Arrays:
        return self.read() | self.changed


def fold_numbers(config: OfflineConfig, of_run: dict[str, Any]) -> dict[str, int]:
    """Index of the run that validated each image, by image id."""
    numbers = {str(run.path): number for number, run in enumerate(config.runs)}
    return {image_id: numbers[str(path)] for image_id, path in of_run.items()}

"""Predictions of an earlier stage, by image."""

from pathlib import Path

import numpy as np

from predictions.store import PredictionStore, read_mean


class CoarseMasks:
    """Predictions of an experiment for any of its images: out-of-fold for training images, else the mean of folds.

    Args:
        experiment: folder of the experiment (`runs/coarse`), or of one of its runs.

    Raises:
        ValueError: the experiment has no predictions.
    """

    def __init__(self, experiment: Path | str) -> None:
        folder = Path(experiment)
        runs = [folder] if (folder / "predictions").is_dir() else sorted(folder.glob("*/predictions/.."))
        self.experiment = folder
        splits = [sorted((run / "predictions").glob("*/manifest.json")) for run in runs]
        self.stores = [PredictionStore.open(path.parent) for paths in splits for path in paths]
        if not self.stores:
            raise ValueError(f"{folder} contains no predictions; run `python cli.py predict {folder}` first")
        # a training image is only in the store of the fold that held it out, a test image in those of all folds
        self.where: dict[str, list[PredictionStore]] = {}
        for store in self.stores:
            for image_id in store.ids():
                self.where.setdefault(image_id, []).append(store)

    def fingerprints(self) -> list[str]:
        """State of each prediction store: settings and versions of its predictions."""
        return [store.state() for store in self.stores]

    def read(self, image_id: str) -> dict[str, np.ndarray]:
        """Probabilities `(C, H, W)` by output name.

        Raises:
            ValueError: the experiment has no prediction of this image.
        """
        stores = self.where.get(image_id)
        if stores is None:
            raise ValueError(
                f"{self.experiment} has no prediction of image {image_id!r}; predict it with all folds: "
                f"python cli.py predict {self.experiment}"
            )
        return read_mean(stores, image_id)

"""What an earlier stage predicted, by image."""

from pathlib import Path

import numpy as np

from predictions.store import PredictionStore, read_mean


class CoarseMasks:
    """Predictions of an experiment for any of its images: out of fold where it trained on them, else the folds' mean.

    Args:
        experiment: `runs/coarse`, or one run of it.

    Raises:
        ValueError: nothing was predicted there.
    """

    def __init__(self, experiment: Path | str) -> None:
        folder = Path(experiment)
        runs = [folder] if (folder / "predictions").is_dir() else sorted(folder.glob("*/predictions/.."))
        self.experiment = folder
        splits = [sorted((run / "predictions").glob("*/manifest.json")) for run in runs]
        self.stores = [PredictionStore.open(path.parent) for paths in splits for path in paths]
        if not self.stores:
            raise ValueError(f"{folder} holds no predictions; run `python cli.py predict {folder}` first")
        # an image out of fold is in one store, of another division in several; never in one that trained on it
        self.where: dict[str, list[PredictionStore]] = {}
        for store in self.stores:
            for image_id in store.ids():
                self.where.setdefault(image_id, []).append(store)

    def fingerprints(self) -> list[str]:
        """What the predictions were made by."""
        return [store.state() for store in self.stores]

    def read(self, image_id: str) -> dict[str, np.ndarray]:
        """Probabilities `(C, H, W)` by output name.

        Raises:
            ValueError: the experiment did not predict this image.
        """
        stores = self.where.get(image_id)
        if stores is None:
            raise ValueError(
                f"{self.experiment} did not predict image {image_id!r}; predict it with all folds: "
                f"python cli.py predict {self.experiment}"
            )
        return read_mean(stores, image_id)

"""Labels of the nearest training image, where it is near enough."""

from pathlib import Path

import numpy as np

from files.tables import read_csv
from postprocessing.set_step import SetStep, Surroundings, stacked
from predictions.store import PredictionStore

CHUNK = 1024  # images compared with all training images at a time


class NearestNeighbour(SetStep):
    """Replace the probabilities of an image by the labels of the training image whose features are most alike.

    Human Protein Atlas 2018, 1st place: features of a network trained by ArcFace to tell antibodies apart; a cosine
    above 0.65 says that the same antibody was photographed. Out of fold an image never takes the labels of an image of
    its own fold, least of all its own.

    Args:
        train: folder that `python cli.py features … --split train` wrote: `features.npy` and `ids.csv`.
        test: that of `--split test`; None where only out-of-fold images are looked at.
        threshold: least cosine of the nearest one; below it nothing changes.
        output: probabilities `(K,)`.

    Raises:
        ValueError: files that are missing or do not fit, an image without features, a cosine outside -1..1.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import pandas as pd
        >>> from postprocessing import NearestNeighbour
        >>> from postprocessing.set_step import Surroundings
        >>> folder = tempfile.TemporaryDirectory()
        >>> for split, ids, features in (("train", "ab", [[1, 0], [0, 1]]), ("test", "x", [[0.1, 0.9]])):
        ...     path = Path(folder.name, split)
        ...     path.mkdir()
        ...     np.save(path / "features.npy", np.array(features, np.float32))
        ...     pd.DataFrame({"image_id": list(ids)}).to_csv(path / "ids.csv", index=False)
        >>> step = NearestNeighbour(f"{folder.name}/train", f"{folder.name}/test")
        >>> around = Surroundings(labels=lambda: {"a": np.array([1, 0]), "b": np.array([0, 1])})
        >>> step({"x": np.array([0.5, 0.5], np.float32)}, around)["x"]  # b is the nearest
        array([0., 1.], dtype=float32)
        >>> folder.cleanup()
    """

    def __init__(self, train: str, test: str | None = None, threshold: float = 0.65, output: str = "label") -> None:
        if not -1 <= threshold <= 1:
            raise ValueError(f"NearestNeighbour: threshold is {threshold}, expected a cosine")
        self.train, self.test, self.threshold, self.output = train, test, threshold, output

    def __call__(self, probabilities: dict[str, np.ndarray], around: Surroundings) -> dict[str, np.ndarray]:
        ids, matrix = stacked(probabilities, self)
        known_ids, known = read_features(self.train)
        place = {name: number for number, name in enumerate(known_ids)}
        if around.fold_of:
            own = known[rows_of(ids, place, self.train)]
        else:
            if self.test is None:
                raise ValueError("NearestNeighbour: test is not set; write features of the test images and name them")
            test_ids, features = read_features(self.test)
            own = features[rows_of(ids, {name: number for number, name in enumerate(test_ids)}, self.test)]
        labels, classes = around.labels(), matrix.shape[1]
        usable = np.array([name in labels for name in known_ids])
        known_folds = np.array([around.fold_of.get(name, -1) for name in known_ids])
        result = dict(zip(ids, matrix.astype(np.float32), strict=True))
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            cosine = own[start : start + CHUNK] @ known.T
            cosine[:, ~usable] = -np.inf
            if around.fold_of:
                folds = np.array([around.fold_of[name] for name in chunk])
                cosine[folds[:, None] == known_folds] = -np.inf
            nearest = cosine.argmax(1)
            for row, (name, index) in enumerate(zip(chunk, nearest, strict=True)):
                if cosine[row, index] > self.threshold:
                    result[name] = as_vector(labels[known_ids[index]], classes, known_ids[index])
        return result


def read_features(folder: str) -> tuple[list[str], np.ndarray]:
    """Ids, and features `(N, F)` float32 of length 1."""
    files = Path(folder) / "ids.csv", Path(folder) / "features.npy"
    if not all(file.is_file() for file in files):
        raise ValueError(
            f"NearestNeighbour: {folder} has no ids.csv and features.npy; `python cli.py features` writes them"
        )
    PredictionStore(folder).check_sources()
    ids = read_csv(files[0])["image_id"].tolist()
    features = np.load(files[1]).astype(np.float32)
    if features.ndim != 2 or len(features) != len(ids):
        raise ValueError(f"NearestNeighbour: {folder} has {len(ids)} ids, but features of shape {features.shape}")
    return ids, features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def rows_of(ids: list[str], place: dict[str, int], folder: str) -> list[int]:
    """Rows of the features of these images."""
    missing = [name for name in ids if name not in place]
    if missing:
        raise ValueError(f"NearestNeighbour: {folder} has no features of image {missing[0]!r}; run `features` again")
    return [place[name] for name in ids]


def as_vector(label: np.ndarray, classes: int, image_id: str) -> np.ndarray:
    """Labels `(K,)` of 0 and 1 as they are, a class number as one of them."""
    label = np.asarray(label)
    if label.shape == (classes,):
        return label.astype(np.float32)
    if label.size == 1 and label.dtype.kind in "iu":
        return (np.arange(classes) == int(label.reshape(()))).astype(np.float32)
    raise ValueError(f"NearestNeighbour: the label of {image_id!r} has shape {label.shape} for {classes} classes")

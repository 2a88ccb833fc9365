"""Share of positives of each class as in the training set."""

import numpy as np

from postprocessing.dataset_step import DatasetContext, DatasetStep, stacked


class MatchPrior(DatasetStep):
    """Label the most probable images of each class, as large a share as is positive in the training set.

    Human Protein Atlas 2018, 1st and 3rd place: thresholds of 28 classes, some with a dozen images, cannot be tuned;
    their shares carry over if train and test have the same distribution.

    Args:
        output: name of the probabilities `(K,)`; replaced by bool `(K,)`.
        shares: share of positives of each class in 0..1 (default: those of the training labels).

    Raises:
        ValueError: a wrong number of shares, a share outside 0..1.

    Example:
        >>> import numpy as np
        >>> from postprocessing import MatchPrior
        >>> from postprocessing.dataset_step import DatasetContext
        >>> probabilities = {name: np.array([p], np.float32) for name, p in zip("abcd", (0.1, 0.4, 0.3, 0.2))}
        >>> labels = MatchPrior(shares=[0.5])(probabilities, DatasetContext())
        >>> [image_id for image_id, label in labels.items() if label.any()]  # half of the images
        ['b', 'c']
    """

    def __init__(self, output: str = "label", shares: list[float] | None = None) -> None:
        if shares is not None and not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"MatchPrior: shares are {shares}, expected numbers in 0..1")
        self.output, self.shares = output, shares

    def __call__(self, probabilities: dict[str, np.ndarray], around: DatasetContext) -> dict[str, np.ndarray]:
        ids, matrix = stacked(probabilities, self)
        if self.shares is None:
            target = np.stack(list(around.labels().values()))
            if target.ndim == 1:
                target = target[:, None] == np.arange(matrix.shape[1])
            shares = (target > 0.5).mean(0)
        else:
            shares = np.array(self.shares)
        if shares.shape != matrix.shape[1:]:
            raise ValueError(
                f"MatchPrior: {shares.size} shares, expected {matrix.shape[1]}, the classes of {self.output!r}"
            )
        labels = np.zeros(matrix.shape, bool)
        for number, share in enumerate(shares):
            # a class that occurs gets at least one image
            count = max(1, round(share * len(matrix))) if share > 0 else 0
            labels[np.argsort(-matrix[:, number], kind="stable")[:count], number] = True
        return dict(zip(ids, labels, strict=True))

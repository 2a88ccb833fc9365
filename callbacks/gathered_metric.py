"""A competition's metric in training: the images of all ranks are scored as one set."""

import numpy as np
import torch
import torch.distributed as distributed
from torchmetrics import Metric

from evaluation.metrics.base import CompetitionMetric


class GatheredMetric(Metric):
    """Wraps a plain metric and gathers the rows of all ranks to compute the score.

    Args:
        metric: metric of the competition; it stores the rows of this rank, and after `compute` those of all.
    """

    full_state_update = False

    def __init__(self, metric: CompetitionMetric) -> None:
        super().__init__()
        self.metric = metric

    def update(self, image_id: str, prediction: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> None:
        """Score one image and store its row, which replaces an earlier one of the same id.

        Args:
            image_id: id of the image.
            prediction: post-processed arrays of the image by name.
            targets: target arrays of the image by name.
        """
        self.metric.add(image_id, prediction, targets)

    def compute(self) -> torch.Tensor:
        """The score over the images of all ranks, float64 scalar.

        Raises:
            ValueError: no rank has scored an image.
        """
        if distributed.is_available() and distributed.is_initialized():
            gathered: list[dict[str, np.ndarray]] = [{} for _ in range(distributed.get_world_size())]
            distributed.all_gather_object(gathered, self.metric.rows)
            self.metric.rows = {image_id: row for part in gathered for image_id, row in part.items()}
        return torch.tensor(self.metric.compute(), dtype=torch.float64)

    def reset(self) -> None:
        """Remove all images."""
        super().reset()
        self.metric.reset()

"""A competition's metric inside a training: the images of all ranks are scored as one set."""

import numpy as np
import torch
import torch.distributed as distributed
from torchmetrics import Metric

from evaluation.metrics.base import CompetitionMetric


class GatheredMetric(Metric):
    """Holds a plain metric, and joins the rows of all ranks when the score is computed.

    Args:
        metric: the competition's; it keeps the rows: those of this rank, and after `compute` those of all.
    """

    full_state_update = False

    def __init__(self, metric: CompetitionMetric) -> None:
        super().__init__()
        self.metric = metric

    @property
    def higher_is_better(self) -> bool:
        """The direction of the score."""
        return self.metric.higher_is_better

    def update(self, image_id: str, prediction: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> None:
        """Score one image and keep its row; an id that is there already is replaced.

        Args:
            image_id: the image.
            prediction: its post-processed arrays by name.
            truth: its target arrays by name.
        """
        self.metric.add(image_id, prediction, truth)

    def compute(self) -> torch.Tensor:
        """The score over the images of all ranks, float64 scalar.

        Raises:
            ValueError: no rank has an image.
        """
        if distributed.is_available() and distributed.is_initialized():
            gathered: list[dict[str, np.ndarray]] = [{} for _ in range(distributed.get_world_size())]
            distributed.all_gather_object(gathered, self.metric.rows)
            self.metric.rows = {image_id: row for part in gathered for image_id, row in part.items()}
        return torch.tensor(self.metric.compute(), dtype=torch.float64)

    def reset(self) -> None:
        """Forget every image."""
        super().reset()
        self.metric.reset()

"""Settings of a competition: metric, post-processing and submission format."""

from dataclasses import dataclass, field

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import without_void
from postprocessing.dataset_step import DatasetStep
from postprocessing.step import Step
from submissions.base import Submission


@dataclass
class Competition:
    """Metric, post-processing chain and submission format of one competition.

    Args:
        metric: the competition's own metric, logged as `val/score`.
        extra_metrics: further metrics of the same post-processed predictions, logged as `val/<class name>`.
        dataset_postprocess: steps for the image-level outputs of all images together, before those of each image:
            equal counts, shares of the training set, nearest neighbours. Offline verbs apply them, validation during
            training does not.
        postprocess: steps applied to the probabilities of each image, in order.
        submission: writer and validator of the submission file.
        solution: path of the targets of the test images in the submission format, relative to `data.root`, if known (a
            generated or past competition).
        max_file_size: largest file that the competition accepts, in megabytes (10^6 bytes).
        slug: name of the competition in its Kaggle URL, to which `submit --message` sends the file.
    """

    metric: CompetitionMetric
    extra_metrics: list[CompetitionMetric] = field(default_factory=list)
    dataset_postprocess: list[DatasetStep] = field(default_factory=list)
    postprocess: list[Step] = field(default_factory=list)
    submission: Submission | None = None
    solution: str | None = None
    max_file_size: float | None = None
    slug: str | None = None

    def metrics(self) -> dict[str, CompetitionMetric]:
        """Metrics by name: the competition's own as `score`, `extra_metrics` under their class names."""
        return {"score": self.metric} | {type(metric).__name__: metric for metric in self.extra_metrics}

    def process(
        self, prediction: dict[str, np.ndarray], targets: dict[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Apply all steps to the probabilities of one image.

        Args:
            prediction: arrays by name, from the network or a store.
            targets: target arrays to score against; the chain starts from 0 where their `valid` is False. None: for a
                submission.
        """
        prediction = prediction if targets is None else without_void(prediction, targets)
        for step in self.postprocess:
            prediction = step(prediction)
        return prediction

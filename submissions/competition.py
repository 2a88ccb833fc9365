"""What a competition asks for: its metric, the post-processing that suits it, the file it wants."""

from dataclasses import dataclass, field

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import without_void
from postprocessing.set_step import SetStep
from postprocessing.step import Step
from submissions.base import Submission


@dataclass
class Competition:
    """Metric, post-processing chain and submission format of one competition.

    Args:
        metric: the competition's own metric, logged as `val/score`.
        extra_metrics: further metrics that are computed on the same post-processed predictions and logged as
            `val/<class name>`.
        dataset_postprocess: steps over the image-level outputs of all images together, before those of each image:
            equal counts, shares of the training set, nearest neighbours. Offline verbs apply them, a validation inside
            a training does not.
        postprocess: steps applied to the probabilities of each image, in order.
        submission: writer and validator of the submission file.
        solution: truth of the test images in the submission's format, relative to `data.root`, where it is known
            (a generated or a past competition).
        max_file_size: largest file in megabytes (10^6 bytes) that the competition takes; a larger one is refused here.
        slug: the competition's name in its address at Kaggle, to which `submit --message` sends the file.
    """

    metric: CompetitionMetric
    extra_metrics: list[CompetitionMetric] = field(default_factory=list)
    dataset_postprocess: list[SetStep] = field(default_factory=list)
    postprocess: list[Step] = field(default_factory=list)
    submission: Submission | None = None
    solution: str | None = None
    max_file_size: float | None = None
    slug: str | None = None

    def metrics(self) -> dict[str, CompetitionMetric]:
        """The competition's metric as `score`, then those of `extra_metrics` under their class names."""
        return {"score": self.metric} | {type(metric).__name__: metric for metric in self.extra_metrics}

    def process(
        self, prediction: dict[str, np.ndarray], truth: dict[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Probabilities of one image -> the same with the results of every step.

        Args:
            prediction: arrays by name, as the network or a store gives them.
            truth: what they will be scored against; where its `valid` is False the chain starts from 0. None: they are
                for a submission.
        """
        prediction = prediction if truth is None else without_void(prediction, truth)
        for step in self.postprocess:
            prediction = step(prediction)
        return prediction

"""Metric updates against torchmetrics' defaults, and instance AP against the notebooks' histogram2d version."""

import numpy as np
import torch
import torchmetrics
from torchmetrics.segmentation import DiceScore

from benchmarks.measure import Report, compare
from benchmarks.run_lengths import ellipses
from evaluation.metrics import DicePerImage, InstanceAveragePrecision, IoUGlobal


def notebook_average_precision(target: np.ndarray, predicted: np.ndarray) -> float:
    """The 2018 Data Science Bowl's public recipe."""
    true_objects, pred_objects = len(np.unique(target)), len(np.unique(predicted))
    joint = np.histogram2d(target.flatten(), predicted.flatten(), bins=(true_objects, pred_objects))[0]
    area_true = np.histogram(target, bins=true_objects)[0][:, None]
    area_pred = np.histogram(predicted, bins=pred_objects)[0][None]
    union = area_true + area_pred - joint
    iou = joint[1:, 1:] / np.maximum(union[1:, 1:], 1e-9)
    scores = []
    for threshold in np.arange(0.5, 1.0, 0.05):
        matches = iou > threshold
        true_positives = np.sum(matches.sum(1) == 1)
        false_positives, false_negatives = np.sum(matches.sum(0) == 0), np.sum(matches.sum(1) == 0)
        scores.append(true_positives / (true_positives + false_positives + false_negatives))
    return float(np.mean(scores))


def consecutive(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def main() -> None:
    report = Report("metrics", ["numpy", "torch", "torchmetrics"])
    target, predicted = consecutive(ellipses(1024, 500)), consecutive(np.roll(ellipses(1024, 500), 2, axis=1))
    metric = InstanceAveragePrecision()
    ours = {"instances": predicted}, {"instances": target}
    assert abs(metric.image(*ours)[0] - notebook_average_precision(target, predicted)) < 1e-6
    report.add(
        f"instance AP, 1024 x 1024, {target.max()} and {predicted.max()} objects",
        compare(
            {"notebook": lambda: notebook_average_precision(target, predicted), "ours": lambda: metric.image(*ours)},
            "notebook",
        ),
    )
    random = np.random.default_rng(0)
    truth = random.random((8, 512, 512)) > 0.7
    guess = truth ^ (random.random(truth.shape) > 0.9)
    torch_target, torch_guess = torch.from_numpy(truth).int(), torch.from_numpy(guess).int()
    torch_dice, torch_iou = DiceScore(num_classes=1, input_format="one-hot"), torchmetrics.JaccardIndex("binary")
    dice, iou = DicePerImage(), IoUGlobal()
    ids = [str(number) for number in range(8)]

    def update(metric: DicePerImage) -> None:
        metric.update(guess[:, None], truth[:, None], ids)

    report.add(
        "Dice update, masks (8, 1, 512, 512)",
        compare(
            {
                "torchmetrics": lambda: torch_dice.update(torch_guess[:, None], torch_target[:, None]),
                "ours": lambda: update(dice),
            },
            "torchmetrics",
        ),
    )
    report.add(
        "IoU update, masks (8, 1, 512, 512)",
        compare(
            {
                "torchmetrics": lambda: torch_iou.update(torch_guess, torch_target),
                "ours": lambda: update(iou),
            },
            "torchmetrics",
        ),
    )
    report.save()


if __name__ == "__main__":
    main()

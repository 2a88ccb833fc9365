"""Detection: boxes of objects, by the detectors of torchvision, which know their losses themselves."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.box_views import boxes_of_view
from inference.tta import View
from lightning_modules.base import BaseModule
from masks.boxes import weighted_box_fusion

FUSION_IOU = 0.55  # overlap from which boxes of two views are one, as in the paper (https://arxiv.org/abs/1910.13302)
VIEWS = ("tta", "intensity")  # what of `Inference` serves whole pictures and lists; the rest is about tiles and maps


class DetectionModule(BaseModule):
    """Boxes from images, by any detector of torchvision by its own class_path: Faster R-CNN, RetinaNet, FCOS, SSD.

    The target is `datamodules.targets.Boxes`, with labels from 0. The detector's class 0 is background, so its
    `num_classes` is one more than there are classes. Its own normalisation is switched off, that of this module stands
    before it; its own resizing stays (`min_size`, `max_size`). What is minimised is the sum of all losses that it
    returns, each logged under its name. They exist in training alone, so there is no `val/loss`.

    It predicts `boxes` `(n, 6)` float32, best first: x1, y1, x2, y2 in pixels, score, label from 0; metrics, steps,
    submissions and ensembles of boxes read these. How many there are is the detector's to say (`box_score_thresh`,
    `box_detections_per_img`). Pictures are predicted whole. The views of `inference.tta` and `inference.intensity` are
    merged by weighted box fusion, which lowers the score of a box that few views have found.

    The other arguments are those of `BaseModule`, without those of named outputs and the loss formula.

    Args:
        loss_weights: factor of the detector's losses by name, such as `{loss_rpn_box_reg: 2}`; 1 unless given.

    Raises:
        ValueError: a network that is no detector of torchvision, or arguments of `inference` that are for maps.
    """

    def __init__(self, *args: Any, loss_weights: dict[str, float] | None = None, **kwargs: Any) -> None:
        # Written out, because the config's keys are read from this call: what is set here is none of them.
        super().__init__(
            *args,
            outputs=["boxes"],
            activations={"boxes": "none"},
            inputs=None,
            loss=None,
            loss_terms=None,
            compile_loss=False,
            **kwargs,
        )
        transform = getattr(self.network, "transform", None)
        if not hasattr(transform, "image_mean"):
            raise ValueError(
                f"{type(self.network).__name__} is no detector of torchvision.models.detection: it has no `transform` "
                "that resizes pictures and brings boxes back"
            )
        transform.image_mean, transform.image_std = [0.0], [1.0]  # pictures come normalised
        self.loss_weights = loss_weights or {}
        given, standard = self.inference.settings(), type(self.inference)().settings()
        wrong = [name for name in given if name not in VIEWS and given[name] != standard[name]]
        if wrong:
            raise ValueError(
                f"model.inference.{wrong[0]} is for maps; boxes are predicted from whole pictures, seen in the views "
                f"of {' and '.join(VIEWS)}"
            )

    def training_loss(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        images, targets = list(self.normalise(batch["image"])), detector_targets(batch)
        weights = batch["weight"].tolist() if "weight" in batch else [1.0] * len(targets)
        if len(set(weights)) == 1:
            parts = {name: value * weights[0] for name, value in self.network(images, targets).items()}
        else:  # a detector gives one loss for a batch, so pictures of different weight go one by one
            found = [self.network([image], [target]) for image, target in zip(images, targets, strict=True)]
            parts = {
                name: sum(weight * losses[name] for weight, losses in zip(weights, found, strict=True)) / len(found)
                for name in found[0]
            }
        unknown = sorted(set(self.loss_weights) - set(parts))
        if unknown:
            raise ValueError(f"model.loss_weights names {unknown}, but the detector returns {sorted(parts)}")
        parts = {name: value * self.loss_weights.get(name, 1.0) for name, value in parts.items()}
        return sum(parts.values()), {name: value.detach() for name, value in parts.items()}

    def validation_loss(self, prediction: dict[str, Tensor], batch: dict[str, Any], index: int) -> None:
        return None

    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        return [self.predict_image([image], tta) for image in batch["image"]]

    @torch.inference_mode()
    def predict_image(self, inputs: list[Tensor], tta: bool = True, image_id: str | None = None) -> dict[str, Tensor]:
        """Boxes of one image `(C, H, W)` of any size: `boxes` `(n, 6)`."""
        image, found = self.normalise(inputs[0][None]), []
        for view in self.inference.views(2) if tta else (View(),):
            boxes = found_boxes(self.network([view.apply(image)[0]])[0])
            found.append(boxes_of_view(boxes, view, image.shape[-2:]))
        merged = found[0] if len(found) == 1 else weighted_box_fusion(found, iou=FUSION_IOU)
        return {"boxes": torch.from_numpy(merged.astype(np.float32))}


def detector_targets(batch: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Boxes and labels of a batch as torchvision wants them: class 0 is background, no box is without area."""
    missing = [name for name in ("boxes", "labels") if name not in batch]
    if missing:
        raise ValueError(f"the batch has no {missing[0]!r}, only {sorted(batch)}; add datamodules.targets.Boxes")
    targets = []
    for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True):
        wide = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # a crop may leave a line of a box
        targets.append({"boxes": boxes[wide], "labels": labels[wide] + 1})
    return targets


def found_boxes(result: dict[str, Tensor]) -> np.ndarray:
    """What a detector found in an image as `(n, 6)` float32, labels from 0, the best first."""
    columns = [result["boxes"].float(), result["scores"].float()[:, None], result["labels"].float()[:, None] - 1]
    boxes = torch.cat(columns, dim=1).cpu().numpy()
    # RetinaNet and FCOS have an output for class 0, which nothing trains.
    boxes = boxes[(boxes[:, 5] >= 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]

"""Detection: boxes of objects by the detectors of torchvision, which compute their own losses."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.box_views import boxes_of_view
from inference.tta import View
from lightning_modules.base import BaseModule
from masks.boxes import weighted_box_fusion

FUSION_IOU = 0.55  # smallest IoU of matching boxes of two views, as in the paper (https://arxiv.org/abs/1910.13302)
VIEWS = ("tta", "intensity")  # arguments of `Inference` that apply to boxes; the others are for tiles and maps


class DetectionModule(BaseModule):
    """Predicts boxes by any detector of torchvision, set by its class_path: Faster R-CNN, RetinaNet, FCOS, SSD.

    The target is `datamodules.targets.Boxes`, with labels from 0. The detector's class 0 is background, so its
    `num_classes` is the number of classes plus 1. Its normalisation is replaced by that of this module; its resizing is
    kept (`min_size`, `max_size`). The loss is the sum of all losses that it returns, each logged under its name. A
    detector computes them only in training, so there is no `val/loss`.

    It predicts `boxes` `(n, 6)` float32, best first: x1, y1, x2, y2 in pixels, score, label from 0, as used by metrics,
    steps, submissions and ensembles of boxes. Their number depends on the detector (`box_score_thresh`,
    `box_detections_per_img`). Images are not tiled. The views of `inference.tta` and `inference.intensity` are merged
    by weighted box fusion, which lowers the score of a box found in few views.

    The other arguments are those of `BaseModule`, except those of named outputs and the loss formula.

    Args:
        loss_weights: factors of the detector's losses by name, such as `{loss_rpn_box_reg: 2}` (default: 1).

    Raises:
        ValueError: the network is not a detector of torchvision, or an argument of `inference` is for maps.
    """

    def __init__(self, *args: Any, loss_weights: dict[str, float] | None = None, **kwargs: Any) -> None:
        # Written out, because jsonargparse resolves `**kwargs` from this call: arguments set here are no config keys.
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
                f"{type(self.network).__name__} is not a detector of torchvision.models.detection: it has no "
                "`transform` that resizes images and boxes"
            )
        transform.image_mean, transform.image_std = [0.0], [1.0]  # images are already normalised
        self.loss_weights = loss_weights or {}
        given, standard = self.inference.settings(), type(self.inference)().settings()
        wrong = [name for name in given if name not in VIEWS and given[name] != standard[name]]
        if wrong:
            raise ValueError(
                f"model.inference.{wrong[0]} is for maps; boxes are predicted from whole images and support only "
                f"{' and '.join(VIEWS)}"
            )

    def training_loss(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        images, targets = list(self.normalise(batch["image"])), detector_targets(batch)
        weights = batch["weight"].tolist() if "weight" in batch else [1.0] * len(targets)
        if len(set(weights)) == 1:
            parts = {name: value * weights[0] for name, value in self.network(images, targets).items()}
        else:  # a detector has one loss per batch, so images of different weights are processed one by one
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
    """Boxes and labels of a batch as torchvision expects them: class 0 is background, boxes of no area are dropped."""
    missing = [name for name in ("boxes", "labels") if name not in batch]
    if missing:
        raise ValueError(f"the batch has no {missing[0]!r}, only {sorted(batch)}; add datamodules.targets.Boxes")
    targets = []
    for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True):
        wide = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # a crop may reduce a box to a line
        targets.append({"boxes": boxes[wide], "labels": labels[wide] + 1})
    return targets


def found_boxes(result: dict[str, Tensor]) -> np.ndarray:
    """Detections of an image as `(n, 6)` float32, labels from 0, best first."""
    columns = [result["boxes"].float(), result["scores"].float()[:, None], result["labels"].float()[:, None] - 1]
    boxes = torch.cat(columns, dim=1).cpu().numpy()
    # RetinaNet and FCOS have an untrained output for class 0.
    boxes = boxes[(boxes[:, 5] >= 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]

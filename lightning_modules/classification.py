"""Classification: one label, several labels, or grades for each image."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import BaseModule


class ClassificationModule(BaseModule):
    """Labels from images, by any network that returns `(N, K)` logits.

    Give `activations: {label: softmax}` where classes exclude each other (loss `cross_entropy`, target `Labels` of kind
    `single`); the default sigmoid suits several labels per image (loss `bce` or `focal`, kind `multi`) and grades (kind
    `ordinal`). Images of one size within an evaluation batch are predicted together; `inference.size` brings all to one
    size. Its arguments are those of `BaseModule`.
    """

    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        images = list(zip(*(batch[name] for name in self.inputs), strict=True))
        together: dict[tuple, list[int]] = {}
        for index, inputs in enumerate(images):
            together.setdefault(tuple(inputs[0].shape), []).append(index)
        results: list[dict[str, Tensor]] = [{}] * len(images)
        for members in together.values():
            stacked = [torch.stack(values) for values in zip(*(images[index] for index in members), strict=True)]
            found = self.predict_images(stacked, tta)
            for place, index in enumerate(members):
                results[index] = {name: value[place] for name, value in found.items()}
        return results

"""Classification: one label, several labels, or a grade per image."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import BaseModule


class ClassificationModule(BaseModule):
    """Predicts labels of images by any network that returns logits `(N, K)`.

    Set `activations: {label: softmax}` for exclusive classes (loss `cross_entropy`, target `Labels` of kind `single`);
    the default sigmoid is for several labels per image (loss `bce` or `focal`, kind `multi`) and grades (kind
    `ordinal`). Images of the same size in an evaluation batch are predicted together; `inference.size` resizes all to
    one size. The arguments are those of `BaseModule`.
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

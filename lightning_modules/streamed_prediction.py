"""Predictions of images larger than memory."""

from typing import Any, Protocol

import torch
from torch import Tensor

from datamodules.lazy_images import LazyImage
from inference import Inference
from predictions.entry import PredictionFile


class StreamingModule(Protocol):
    """The part of `BaseModule` that streaming uses."""

    activations: dict[str, str]
    device: torch.device
    inference: Inference
    inputs: list[str]
    trainer: Any

    def check_inputs(self, batch: dict[str, Any]) -> None: ...

    def normalise(self, images: Tensor) -> Tensor: ...

    def predict_all(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]: ...

    def predict_image(self, inputs: list[Tensor]) -> dict[str, Tensor]: ...

    def probabilities(self, *inputs: Tensor) -> dict[str, Tensor]: ...

    def streams(self, size: tuple[int, int]) -> bool: ...


class StreamedPrediction:
    """The prediction of one large image, computed while it is written, one row of tiles at a time.

    `predict_step` returns it instead of arrays for images of more than `inference.stream_above` pixels.

    Args:
        module: module whose network predicts.
        inputs: inputs of the network for the image, without the batch axis; the first is the image: a `LazyImage`, or a
            tensor `(C, H, W)` in the type and range of its file.
    """

    def __init__(self, module: StreamingModule, inputs: list[LazyImage | Tensor]) -> None:
        self.module, self.image, self.side = module, inputs[0], inputs[1:]

    @property
    def unreadable(self) -> str:
        """Why the image could not be read; empty if it was read completely."""
        return self.image.unreadable if isinstance(self.image, LazyImage) else ""

    @torch.inference_mode()
    def write(self, file: PredictionFile) -> None:
        """Predict, and write rows as soon as they are final; image-level outputs at the end.

        Raises:
            ImageReadError: a part of the image cannot be read.
        """
        module, image = self.module, self.image
        device = module.device
        side = [value.to(device).unsqueeze(0) for value in self.side]

        def rows(first: int, last: int) -> Tensor:
            return (image.rows(first, last) if isinstance(image, LazyImage) else image[:, first:last]).to(device)

        def forward(batch: Tensor) -> dict[str, Tensor]:
            return module.probabilities(batch, *(value.expand(len(batch), *[-1] * (value.dim() - 1)) for value in side))

        def out(name: str, final: Tensor) -> None:
            file.add_rows(name, final[0].cpu().numpy(), unit=module.activations[name] in ("sigmoid", "softmax"))

        size = image.size if isinstance(image, LazyImage) else tuple(image.shape[1:])
        # Lightning sets the precision only during a step, and this runs after it.
        with module.trainer.precision_plugin.predict_step_context():
            levels = module.inference.stream(forward, size, rows, module.normalise, out)
        for name, value in levels.items():
            file.add(name, value[0].cpu().numpy())

    @torch.inference_mode()
    def write_nothing(self, file: PredictionFile, shapes: dict[str, tuple[int, ...]]) -> None:
        """Write an empty prediction of an unreadable image: maps of 0, image-level outputs as of a black image.

        Args:
            file: new prediction file.
            shapes: shapes of the maps by name.
        """
        for name, shape in shapes.items():
            file.add_zeros(name, shape)
        tile, size = self.module.inference.tile, self.image.size
        height, width = map(min, tile if isinstance(tile, list) else (tile, tile), size)
        black = self.image.rows(0, height)[..., :width]  # one tile: all tiles of a black image are the same
        for name, value in self.module.predict_image([black.to(self.module.device), *self.side]).items():
            if name not in shapes:
                file.add(name, value.cpu().numpy())


def predict_large_apart(module: StreamingModule, batch: dict[str, Any]) -> list[dict[str, Tensor] | StreamedPrediction]:
    """The predictions of an evaluation batch; those of large images are computed later."""
    sizes = [image.size if isinstance(image, LazyImage) else image.shape[1:] for image in batch["image"]]
    large = [module.streams(size) for size in sizes]
    if not any(large):
        return module.predict_all(batch, tta=True)
    module.check_inputs(batch)
    results: list[dict[str, Tensor] | StreamedPrediction] = [
        StreamedPrediction(module, [batch[name][index] for name in module.inputs]) for index in range(len(large))
    ]
    others = [index for index, streamed in enumerate(large) if not streamed]
    if others:
        rest = {name: [values[index] for index in others] for name, values in batch.items()}
        for index, prediction in zip(others, module.predict_all(rest, tta=True), strict=True):
            results[index] = prediction
    return results

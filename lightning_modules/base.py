"""Base of all tasks: network, normalisation, loss formula, optimizer, checkpoint."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from augmentations import Augmentation
from augmentations.base import blanked_batch
from compat.lightning import logs_this_step
from inference import Inference
from lightning_modules.checkpointing import checkpoint_activations
from lightning_modules.depth import KEY, ImageDepth
from lightning_modules.network_errors import explained
from lightning_modules.normalisation import find_statistics
from lightning_modules.optimized import OptimizedModule
from lightning_modules.outputs import activate, deactivate, flat_names, name_outputs
from lightning_modules.rates import rate_scales
from lightning_modules.streamed_prediction import StreamedPrediction, predict_large_apart
from lightning_modules.weights import load_encoder_file, load_weights
from losses import LossFormula

SHOWN_EVERY = 5  # batches between updates of the loss on the progress bar
Activation = Literal["sigmoid", "softmax", "none", "unit"]


class BaseModule(OptimizedModule):
    """A network with its normalisation, its loss formula and its optimizer.

    Args:
        network: any `nn.Module` of any library by `class_path` that maps `(N, C, H, W)` float to logits: a tensor, a
            tuple or a dict.
        outputs: names of the network's outputs, one entry per tensor; a list entry splits the channels of one tensor
            by name, evenly or by numbers of channels: `[[body, border], empty]`, `[[body, border, "kind:4"]]`. The
            first name is the main output of the task.
        loss: loss formula, for example `bce(mask) + 0.5 * dice(mask)`; a bare `bce + dice` is for the main output.
            None only if the task has its own loss (as a detector).
        compile_loss: whether to compile the loss formula, which makes it two to three times as fast and keeps one byte
            per pixel for the backward pass. Compilation takes 10 to 30 s and needs a C++ compiler (default: False).
        loss_terms: losses of libraries for the formula, by a name of your choice. They support weights and ignored
            pixels by `reduction="none"` or an `ignore_index`; others raise an error for batches that have any.
        inputs: keys of the batch that are inputs of the network, in order (default: `[image]`).
        activations: activation of each output: `sigmoid` (the default), `softmax` (one class per pixel or image),
            `none` (regression) or `unit` (embeddings, normalised to length 1).
        optimizer: any optimizer class without its parameters. Norm layers and biases have no weight decay; AdamW and
            Adam use their fused kernels if the precision allows it.
        layer_decay: factor of the learning rate from each layer of the encoder to the one before it; the head has the
            full rate (`lightning_modules.rates`). 0.65 to 0.8 suit pretrained transformers; 1.0 is one rate for all.
        encoder_lr_factor: factor of the encoder's learning rate; 0.1 suits a pretrained encoder with a new decoder.
        scheduler: any scheduler class without its optimizer, or None for a constant learning rate. `OneCycleLR` uses
            the length of the run if none is set.
        scheduler_interval: unit of scheduler updates, `step` or `epoch` (default: `step` for `WarmupCosine`,
            `OneCycleLR` and `CyclicLR`, whose arguments count steps, `epoch` for all others).
        scheduler_frequency: number of steps or epochs between scheduler updates.
        scheduler_monitor: logged value that a plateau scheduler monitors, at each validation (it has no interval or
            frequency); for `val/score` the direction is that of the metric.
        input_range: pixel value that means 1.0: 255 for 8-bit files, 65535 for 16-bit, 1 for float images.
        mean: mean of each channel of images in [0, 1] (default: that of the pretrained weights, else ImageNet's). One
            number applies to all channels.
        std: standard deviation of each channel of images in [0, 1] (default: as for the mean).
        augmentation: augmentations of training batches on the device (`augmentations`), in order; random draws depend
            on seed, epoch, step and rank.
        channels_last: whether network and images use the channels-last memory format; convolutions are 1.5 times
            faster on CPU and tensor cores.
        inference: tiles and test-time augmentation, the same in validation and prediction.
        validate_with_tta: whether validations of `fit` use test-time augmentation too, which multiplies their time by
            the number of views.
        freeze: names of modules of the network to freeze: `[encoder]`. They stay in evaluation mode, so that their
            norms keep their statistics.
        train_only: names of the only modules to train: `[head]`; all others are frozen.
        compile_network: whether to compile the network for training steps (`torch.compile` in place: checkpoints stay
            the same). Evaluation is not compiled, because each new image size would need a new compilation. It takes 1
            to 2 minutes and a C++ compiler; on a CPU a U-Net does not get faster, so it is meant for GPUs.
        gradient_checkpointing: whether to recompute activations of the encoder in the backward pass: a resnet18 needs
            half the memory and a fifth more time. Batch norms then see each batch twice. For timm encoders
            (`networks.ImageClassifier`, smp's `tu-…`); the decoder of a U-Net keeps its activations.
        init_from: checkpoint, weights file or run folder with initial weights; the optimizer state is not loaded.
        encoder_init_from: file of pretrained weights for the encoder alone, in the names of timm, torchvision or smp;
            no other place is then searched for weights. Without effect if `init_from` is set.
    """

    def __init__(
        self,
        network: nn.Module,
        outputs: list[str | list[str]],
        loss: str | None,
        compile_loss: bool = False,
        loss_terms: dict[str, nn.Module] | None = None,
        inputs: list[str] | None = None,
        activations: dict[str, Activation] | None = None,
        optimizer: Callable[[Iterable], Optimizer] = torch.optim.AdamW,
        layer_decay: float = 1.0,
        encoder_lr_factor: float = 1.0,
        scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        scheduler_interval: Literal["step", "epoch"] | None = None,
        scheduler_frequency: int = 1,
        scheduler_monitor: str = "val/score",
        input_range: float = 255.0,
        mean: list[float] | float | None = None,
        std: list[float] | float | None = None,
        augmentation: list[Augmentation] | None = None,
        channels_last: bool = True,
        inference: Inference | None = None,
        validate_with_tta: bool = False,
        freeze: list[str] | None = None,
        train_only: list[str] | None = None,
        compile_network: bool = False,
        gradient_checkpointing: bool = False,
        init_from: str | None = None,
        encoder_init_from: str | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.outputs, self.inputs = outputs, inputs or ["image"]
        self.names = flat_names(outputs)
        if encoder_init_from is not None and init_from is None:
            load_encoder_file(self.network, encoder_init_from)
        self.activations = {name: "sigmoid" for name in self.names} | (activations or {})
        unknown = sorted(set(self.activations) - set(self.names))
        if unknown:
            raise ValueError(f"model.activations names {unknown}, but model.outputs are {self.names}")
        if loss is None and type(self).training_loss is BaseModule.training_loss:
            raise ValueError(f"model.loss is not set, but {type(self).__name__} has no loss of its own: set a formula")
        self.loss = None if loss is None else LossFormula(loss, loss_terms)
        if self.loss is not None and compile_loss:
            self.loss.compile()
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scheduler_interval, self.scheduler_monitor = scheduler_interval, scheduler_monitor
        self.scheduler_frequency = scheduler_frequency
        self.layer_decay, self.encoder_lr_factor = layer_decay, encoder_lr_factor
        self.compile_network = compile_network
        # Normalisation is part of the network: as buffers it is saved in every checkpoint.
        self.register_buffer("input_range", torch.tensor(float(input_range)))
        self._full = float(input_range)  # on the host, without synchronising the device
        mean, std = find_statistics(network, mean, std)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if all(parameter.ndim <= 4 for parameter in self.network.parameters()):  # torch lacks this format for 3-D
            self.network.to(memory_format=self.memory_format)
        self.augmentation = augmentation or []
        self.inference = inference or Inference()
        self.validate_with_tta = validate_with_tta
        self.loss_parts: dict[str, Tensor] = {}  # of the last training step
        self.batch_viewer: Callable[[dict[str, Any]], None] | None = None  # called with augmented training batches
        self.depth = ImageDepth()
        self.config: dict[str, Any] = {}  # class_path and init_args of this module, if built from YAML
        if init_from is not None:
            load_weights(self, init_from)
        if gradient_checkpointing:
            checkpoint_activations(self.network)
        if freeze or train_only is not None:
            # `networks` imports timm, which takes 1 s and would slow down --help.
            from networks.freeze import freeze as freeze_parts
            from networks.freeze import freeze_except

            freeze_parts(self.network, freeze or [])
            if train_only is not None:
                freeze_except(self.network, train_only)
        # Parts that a callback freezes for some epochs are trained later, so they stay in the optimizer.
        self._trained = {name for name, value in self.network.named_parameters() if value.requires_grad}
        rate_scales(self.network, layer_decay, encoder_lr_factor)  # raises before any data are read

    def setup(self, stage: str) -> None:
        if self.compile_network and stage == "fit":
            self.network.compile()

    def normalise(self, images: Tensor) -> Tensor:
        """`(N, C, *spatial)` in the type and range of files -> float32 with zero mean and unit variance."""
        self.depth.check(images)
        channels, axes = images.shape[1], [1] * (images.dim() - 2)
        if self.mean.shape[0] not in (1, channels):
            raise ValueError(
                f"model.mean has {self.mean.shape[0]} values, but the images have {channels} channels; "
                "give model.mean and model.std one value per channel, or a single number for all"
            )
        images = images.to(self.mean.dtype) if images.dtype != torch.uint16 else images.int().to(self.mean.dtype)
        images = (images / self.input_range - self.mean.view(-1, *axes)) / self.std.view(-1, *axes)
        return images.contiguous(memory_format=self.memory_format) if images.dim() == 4 else images

    def forward(self, *inputs: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Normalised inputs -> logits by output name."""
        with explained(self.network, inputs):
            return name_outputs(self.network(*inputs), self.outputs)

    def probabilities(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Normalised inputs -> probabilities by output name, float32."""
        with torch.compiler.set_stance("force_eager") if self.compile_network else nullcontext():
            outputs = self(*inputs)
        finest = {name: value[0] if isinstance(value, list) else value for name, value in outputs.items()}
        return {name: activate(value, self.activations[name]) for name, value in finest.items()}

    def check_inputs(self, batch: dict[str, Any]) -> None:
        """Check that the batch has all inputs of the network."""
        missing = [name for name in self.inputs if name not in batch]
        if missing:
            raise ValueError(f"model.inputs names {missing}, but the batch has {sorted(batch)}")
        self.depth.check_batch(batch)

    def network_inputs(self, batch: dict[str, Any]) -> list[Tensor]:
        """Inputs of the network from a training batch; the image is normalised."""
        self.check_inputs(batch)
        return [self.normalise(batch[name]) if name == "image" else batch[name] for name in self.inputs]

    @torch.no_grad()
    def augment(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """A training batch, augmented on its device."""
        if self.augmentation:
            seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
            rng = np.random.default_rng([seed, self.trainer.current_epoch, batch_idx, self.trainer.global_rank])
            with torch.autocast(self.device.type, enabled=False):  # 16 bits would round pixel positions
                for step in self.augmentation:
                    batch = step.batch(batch, self._full, rng)
            batch = blanked_batch(batch)
        if self.batch_viewer is not None:
            self.batch_viewer(batch)
        return batch

    def training_loss(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of an augmented training batch, and its parts by name."""
        outputs = self(*self.network_inputs(batch))
        weight = batch.get("weight")
        total, parts = self.loss(outputs, batch, weight=weight)
        if weight is None:
            return total, parts
        # Losses divide by the sum of weights, so without this factor a batch of low weights would count like any other.
        factor = weight.mean()
        return total * factor, {name: part * factor for name, part in parts.items()}

    def validation_loss(self, prediction: dict[str, Tensor], batch: dict[str, Any], index: int) -> Tensor | None:
        """Loss of one image of an evaluation batch, from its prediction.

        None if it cannot be computed from the prediction, or if all pixels are ignored.
        """
        # Tiles and views are averaged as probabilities; the loss needs logits.
        logits = {name: deactivate(value.unsqueeze(0), self.activations[name]) for name, value in prediction.items()}
        target = {
            name: values[index].unsqueeze(0)
            for name, values in batch.items()
            if name not in ("image", "weight") and isinstance(values[index], Tensor)
        }
        if "valid" in target and all(value.dim() > 2 for value in logits.values()) and not target["valid"].any():
            return None
        return self.loss(logits, target)[0]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        batch = self.augment(batch, batch_idx)
        total, parts = self.training_loss(batch)
        self.log_training(total, parts, len(batch["image_id"]), batch_idx)
        return total

    def log_training(self, total: Tensor, parts: dict[str, Tensor], size: int, batch_idx: int) -> None:
        """Log the loss of a training batch of `size` images and its parts; also for tasks with manual optimization."""
        self.loss_parts = parts
        # Logging a value takes Lightning 0.3 ms, so values for neither file nor progress bar are skipped.
        written = logs_this_step(self.trainer)
        if written or (batch_idx + 1) % SHOWN_EVERY == 0 or self.trainer.is_last_batch:
            self.log("train/loss", total.detach(), prog_bar=True, batch_size=size)
        if len(parts) > 1 and written:
            self.log_dict({f"train/{name}": value for name, value in parts.items()}, batch_size=size)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> list[dict[str, Tensor]]:
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        predictions = self.predict_all(batch, tta=self.validate_with_tta or not fitting)
        for index, prediction in enumerate(predictions):
            loss = self.validation_loss(prediction, batch, index)
            if loss is not None:
                self.log("val/loss", loss, prog_bar=True, batch_size=1, on_epoch=True, on_step=False, sync_dist=True)
        return predictions

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> list[dict[str, Tensor]]:
        return self.predict_all(batch, tta=True)

    def predict_step(
        self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> list[dict[str, Tensor] | StreamedPrediction]:
        return predict_large_apart(self, batch)

    def streams(self, size: Sequence[int]) -> bool:
        """Whether an image of this size is predicted in strips; its loader then does not read it into memory."""
        return self.inference.streams(size)

    def predict_all(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        """Probabilities of every image of an evaluation batch."""
        self.check_inputs(batch)
        return self.predict_batch(batch, tta)

    @abstractmethod
    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        """Probabilities by output name of each image of an evaluation batch (lists of images of any sizes)."""

    @torch.inference_mode()
    def predict_image(self, inputs: list[Tensor], tta: bool = True, image_id: str | None = None) -> dict[str, Tensor]:
        """Probabilities of one image of any size.

        Args:
            inputs: inputs of the network for this image, without the batch axis; the first is the image `(C, H, W)` in
                the type and range of its file.
            tta: whether to use the test-time augmentation of `inference`.
            image_id: id of the image; needed by `inference.coarse_run`.

        Returns:
            Probabilities, float32, by output name: `(K, H, W)` of the image's size, or `(K,)` if image-level.
        """
        ids = None if image_id is None else [image_id]
        found = self.predict_images([value.unsqueeze(0) for value in inputs], tta, ids)
        return {name: value[0] for name, value in found.items()}

    @torch.inference_mode()
    def predict_images(
        self, inputs: list[Tensor], tta: bool = True, image_ids: list[str] | None = None
    ) -> dict[str, Tensor]:
        """Probabilities of several images of one size: `predict_image` with a batch axis."""
        image, side = self.normalise(inputs[0]), inputs[1:]

        def forward(batch: Tensor) -> dict[str, Tensor]:
            # Tiles of one image share its side inputs; the batch is ordered by tile, then by image.
            times = len(batch) // len(image)
            return self.probabilities(batch, *(value.repeat(times, *[1] * (value.dim() - 1)) for value in side))

        return self.inference(forward, image, tta=tta, image_ids=image_ids)

    @torch.inference_mode()
    def predict_together(self, images: list[list[Tensor]], tta: bool = True) -> list[dict[str, Tensor]]:
        """Probabilities of images of any sizes, as `predict_image`, with tiles of several images per forward pass."""

        def forward(batch: Tensor, numbers: list[int]) -> dict[str, Tensor]:
            sides = zip(*(images[number][1:] for number in numbers), strict=True)
            return self.probabilities(batch, *(torch.stack(values) for values in sides))

        found = self.inference.many(forward, (self.normalise(inputs[0][None]) for inputs in images), tta)
        return [{name: value[0] for name, value in one.items()} for one in found]

    def on_train_start(self) -> None:
        super().on_train_start()
        size = getattr(self.trainer.datamodule, "batch_size", None)
        if size is not None:
            size *= self.trainer.accumulate_grad_batches * self.trainer.world_size
            for logger in self.loggers:
                logger.log_metrics({"effective_batch": size}, step=self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # A checkpoint holds its class and arguments, so that it can be loaded without a config.
        checkpoint["model"], checkpoint[KEY] = self.config, self.depth.seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.depth.seen = checkpoint.get(KEY)

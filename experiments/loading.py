"""Load a trained run as a plain function, for notebooks and kernels."""

from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser

from compat.former_keys import accept_former_keys
from experiments.run_folder import RunFolder
from lightning_modules import BaseModule
from lightning_modules.weights import prepare_networks, read_checkpoint


class Predictor:
    """A trained network that takes raw pixels and returns probabilities at the image size.

    Args:
        module: LightningModule with loaded weights.
        device: torch device.
    """

    def __init__(self, module: BaseModule, device: torch.device) -> None:
        self.module = module.to(device).eval()
        self.device = device

    def __call__(self, image: np.ndarray, *inputs: np.ndarray, tta: bool = True) -> dict[str, np.ndarray]:
        """Predict the probabilities of an image.

        Args:
            image: image `(H, W, C)` or `(H, W)` in the data type and range of the files, as read in training.
            inputs: values of additional `model.inputs`, in order.
            tta: whether to use the test-time augmentation of the config.

        Returns:
            float32 arrays by output name: `(K, H, W)`, or `(K,)` for image-level outputs.
        """
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        tensors = [torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))]
        tensors += [torch.as_tensor(value) for value in inputs]
        result = self.module.predict_image([tensor.to(self.device) for tensor in tensors], tta=tta)
        return {name: value.float().cpu().numpy() for name, value in result.items()}


def build_module(config: dict) -> BaseModule:
    """Build the LightningModule from a checkpoint's `class_path` and `init_args`, without downloading weights."""
    parser = ArgumentParser()
    parser.add_subclass_arguments(BaseModule, "model")
    config = prepare_networks(accept_former_keys({"model": config})["model"], pretrained=False)
    given = config.get("init_args", {})
    config["init_args"] = given | dict.fromkeys({"init_from", "encoder_init_from"} & given.keys())
    return parser.instantiate_classes(parser.parse_object({"model": config})).model


def load(run: Path | str, checkpoint: str = "best", device: str | None = None) -> Predictor:
    """Load a trained run: `load("runs/dsb2018/fold0")(image) -> {"mask": probabilities, …}`.

    Needs no Trainer, config file or internet access: the checkpoint contains class, arguments and normalisation.

    Args:
        run: run folder or checkpoint file.
        checkpoint: `best` or `last`, if `run` is a folder.
        device: torch device; by default, CUDA if available, else the CPU.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if the checkpoint is damaged or was not written by this project.
    """
    path = Path(run) if Path(run).is_file() else RunFolder(run).checkpoint(checkpoint)
    content = read_checkpoint(path)
    if not content.get("model"):
        raise ValueError(f"checkpoint {path} has no model config; expected a checkpoint written by `cli.py fit`")
    module = build_module(content["model"])
    module.load_state_dict(content["state_dict"])
    module.on_load_checkpoint(content)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Predictor(module, torch.device(chosen))

"""The verb `features`: encoder embeddings of every image, computed once."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from datamodules.cache import settings_of
from datamodules.decoder import Decoder
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.loading import load
from experiments.run_folder import RunFolder
from files.paths import text_hash
from files.progress import progress
from files.writing import write_array, write_frame
from lightning_modules.normalisation import expected_statistics
from networks import ImageClassifier
from predictions.store import PredictionStore
from preprocessing.sources import checkpoint_mark, look

FORMAT = 1  # increase when the output format changes


class FeatureExtractor:
    """Feature extraction by a network, with its normalisation and input size.

    Args:
        network: network with a method `features(images)` -> `(N, F)`, as all classifiers in `networks`.
        mean: mean of each channel, after division by `input_range`.
        std: standard deviation of each channel, after division by `input_range`.
        input_range: pixel value mapped to 1.0.
        size: height and width in pixels to resize images to (bilinear, antialiased); None keeps the size.
        device: device of the network.

    Raises:
        ValueError: if the network has no method `features`.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor,
        std: Tensor,
        input_range: float,
        size: list[int] | None,
        device: torch.device,
    ) -> None:
        if not callable(getattr(network, "features", None)) or isinstance(network.features, nn.Module):
            raise ValueError(
                f"{type(network).__name__} has no method `features`; networks.ImageClassifier and the other "
                "classifiers of networks/ have it; else name a timm model: --config FILE --encoder NAME"
            )
        self.network, self.device, self.size, self.input_range = network.to(device).eval(), device, size, input_range
        self.mean, self.std = mean.reshape(-1).to(device), std.reshape(-1).to(device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Features `(F,)` float32 of an image `(H, W, C)`, or a volume `(D, H, W, C)`, as read from disk."""
        array = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        array = array.astype(np.float32) if array.dtype != np.float32 else array
        axes = [1] * (array.ndim - 1)
        pixels = torch.from_numpy(array).to(self.device) / self.input_range
        pixels = ((pixels - self.mean.view(-1, *axes)) / self.std.view(-1, *axes))[None]
        if self.size is not None and pixels.ndim != 4:
            raise ValueError("--size applies to 2D images only; set data.reader.spacing to resample volumes")
        if self.size is not None and tuple(pixels.shape[2:]) != tuple(self.size):
            pixels = F.interpolate(pixels, size=tuple(self.size), mode="bilinear", antialias=True)
        found = self.network.features(pixels)
        if found.ndim != 2:
            raise ValueError(f"{type(self.network).__name__}.features returned {tuple(found.shape)}, expected (N, F)")
        return found[0].float().cpu().numpy()

    def fingerprint(self) -> str:
        """Hash of the weights and the preprocessing."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        settings = [FORMAT, self.input_range, self.mean.tolist(), self.std.tolist(), self.size]
        return text_hash(digest.hexdigest() + json.dumps(settings))


@dataclass
class Options:
    """Options of `features`.

    Args:
        encoder: Name of a timm model, such as resnet152, if no trained run is given.
        pretrained: Whether to load pretrained weights, from $WEIGHTS_DIR or else from timm's hub.
        pooling: Pooling of the timm model: native, avg, max, catavgmax or gem.
        size: Height and width in pixels to resize images to; by default, the size of the run, else the image size.
        input_range: Pixel value mapped to 1.0.
        checkpoint: Checkpoint of the trained run: best or last.
        split: Images to embed: train (all training images), test, or a folder of images.
        output: Output folder; by default, <runs>/<experiment>/features/<split>.
        device: torch device; by default, CUDA if available, else the CPU.
    """

    encoder: str | None = None
    pretrained: bool = True
    pooling: str = "native"
    size: list[int] | None = None
    input_range: float = 255.0
    checkpoint: str = "best"
    split: str = "train"
    output: str | None = None
    device: str | None = None


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    config = read_config("features", arguments, Options, searched=False)
    try:
        write_features(config, CommandLine.read(arguments).folder())
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def write_features(config: OfflineConfig, run: Path | None) -> Path:
    """Compute missing features, then write `features.npy` `(N, F)` float32 and `ids.csv`, one row per image.

    The store in the same folder has one entry per image: an interrupted call is resumed, and other weights or
    settings start from scratch.

    Args:
        config: data and options of the command line.
        run: trained run whose network is used; None uses `--encoder`.

    Returns:
        The output folder.
    """
    options, data = config.options, config.data
    data.prepare_data()
    extractor = of_run(run, options) if run is not None else of_encoder(options, data)
    rows = rows_of(data.table() if options.split == "train" else data.split_table(options.split))[: data.max_images]
    folder = Path(options.output or config.experiment / "features" / Path(options.split).name)
    steps = [settings_of(step) for step in (data.reader, *data.preprocessing)]
    store = PredictionStore(folder)
    inputs = data.predict_inputs(options.split)
    ids = [row.image_id for row in rows]
    made_with = None
    if run is not None:
        made_with = checkpoint_mark(run, options.checkpoint, RunFolder(run).checkpoint(options.checkpoint), folder)
    made_by = text_hash(f"{extractor.fingerprint()} {steps}")
    inputs = {name: inputs[name] for name in ids}
    left = set(store.begin(ids, made_by, inputs, made_with))
    print(
        f"{options.split}: {len(rows) - len(left)} of {len(rows)} images already computed" if left else "all computed"
    )
    decoder = Decoder(data.reader, [], data.preprocessing)
    for row in progress([row for row in rows if row.image_id in left], "features", unit=" images"):
        image, _ = decoder.read(row)
        store.write(row.image_id, {"features": extractor(image)}, dtype="float32")
    store.finish(look({name: inputs[name] for name in left}, {}))
    matrix = np.stack([store.read(row.image_id)["features"] for row in rows])
    write_array(folder / "features.npy", matrix)
    write_frame(folder / "ids.csv", pd.DataFrame({"image_id": ids}))
    print(f"{folder / 'features.npy'}: {matrix.shape[0]} images, {matrix.shape[1]} features; ids: ids.csv")
    return folder


def of_run(run: Path, options: Options) -> FeatureExtractor:
    """Network of a trained run, with the normalisation of its training and the size of its `model.inference`."""
    if options.encoder is not None:
        raise ValueError(f"both a run ({run}) and --encoder {options.encoder} are given; give only one")
    predictor = load(run, options.checkpoint, options.device)
    module = predictor.module
    size = options.size or module.inference.size
    return FeatureExtractor(module.network, module.mean, module.std, float(module.input_range), size, predictor.device)


def of_encoder(options: Options, data: Any) -> FeatureExtractor:
    """A timm encoder with its own normalisation and the number of channels of the first training image."""
    if options.encoder is None:
        raise ValueError("give a trained run folder, or --encoder NAME (a timm model: resnet152)")
    channels = data.reader.read(rows_of(data.table())[0]).shape[-1]
    torch.manual_seed(0)  # random weights must be the same in every call, so that train and test features match
    network = ImageClassifier(options.encoder, 0, channels, options.pretrained, options.pooling)
    known = network.encoder.pretrained_cfg
    expected = expected_statistics(network) or (known["mean"], known["std"])
    mean, std = (torch.tensor([values[i % 3] for i in range(channels)]) for values in expected)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return FeatureExtractor(network, mean, std, options.input_range, options.size, torch.device(device))

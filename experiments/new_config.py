"""The text of a config for a data set, with every usual key and a comment each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from exploration.layouts.found import Entry, LabelsFound, Task
from exploration.layouts.images import ImagesFound
from files.writing import to_yaml_line

ENCODER = "tf_mobilenetv3_small_minimal_100"
STEPS = 600  # of a first training
RAM = 2e9  # bytes of decoded images up to which they are kept in memory
FIRST_MEAN, FIRST_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CV = ["cv: {k: 5, duplicates: true, seed: 0}   # group: a column that all images of a patient, site or video share"]
HEADS: dict[Task, str] = {
    "mask": "a mask per image",
    "classes": "a class for each pixel",
    "instances": "objects, separated by a watershed on their bodies and the borders where they touch",
    "classed_instances": "objects with a class each, separated by a watershed on their bodies and borders",
    "boxes": "boxes with a class each",
    "label": "a class per image",
    "multi": "several classes per image",
    "number": "a number per image",
}


@dataclass
class Sizes:
    """Sizes for a training.

    Args:
        crop: side of the crops, or of the resized images, in pixels.
        tile: side of the tiles in prediction, or None for whole images.
        batch: images of a batch.
        samples: crops of each image per epoch.
        epochs: number of epochs.
        every: epochs between validations.
        cache: `ram`, `disk` or `none`.
    """

    crop: int
    tile: int | None
    batch: int
    samples: int
    epochs: int
    every: int
    cache: str


def sizes_for(images: ImagesFound, task: Task) -> Sizes:
    """Crop, batch and epochs by the sizes and the number of images."""
    shortest = float(np.median(images.sizes.min(axis=1)))
    whole = task in ("label", "multi", "number", "boxes")
    crop = int(np.clip(32 * np.ceil(shortest / 32), 64, 320 if task == "boxes" else 224 if whole else 256))
    area = float(np.median(images.sizes.prod(axis=1)))
    samples = 1 if whole else int(np.clip(round(area / crop**2), 1, 4))
    batch = min(4 if task == "boxes" else 16 if whole else 8, 1 << max(1, len(images.table) // 2).bit_length() - 1)
    epochs = int(np.clip(np.ceil(STEPS * batch / (len(images.table) * samples)), 4, 100))
    decoded = len(images.table) * area * (images.channels + 1) * (1 if images.input_range <= 255 else 2)
    cache = "ram" if decoded < RAM else "disk" if decoded < 50 * RAM else "none"
    large = float(images.sizes.max()) > 3 * crop
    return Sizes(crop, 2 * crop if large and not whole else None, batch, samples, epochs, max(1, epochs // 5), cache)


def config_text(name: str, command: str, images: ImagesFound, labels: LabelsFound, sample: str | None) -> str:
    """Text of the config.

    Args:
        name: name of the config.
        command: command line that made it.
        images: images of the data set.
        labels: its labels.
        sample: sample submission under the root, or None.
    """
    sizes = sizes_for(images, labels.task)
    head = [
        f"# {name}: {HEADS[labels.task]}. Written by",
        "#",
        f"#   {command}",
        "#",
        f"#   python cli.py explore --config configs/{name}.yaml    # look at the data",
        f"#   python cli.py run     --config configs/{name}.yaml    # folds, fit, predict, search, submit",
        "#",
        *(f"# Found:   {sentence}" for sentence in (*images.found, *labels.found)),
        *(f"# Assumed: {sentence}" for sentence in (*images.assumed, *labels.assumed)),
    ]
    parts = [head, _model(images, labels, sizes), _data(images, labels, sizes, sample), CV]
    parts += [_competition(labels), ["ema: {class_path: callbacks.ExponentialMovingAverage, init_args: {decay: 0.99}}"]]
    parts.append(
        [
            "trainer:",
            _line("max_epochs", sizes.epochs, f"about {STEPS} steps; more for a better score", 2),
            f"  check_val_every_n_epoch: {sizes.every}",
            "  gradient_clip_val: 5.0",
            "  plugins: [{class_path: lightning_modules.AutoPrecision}]    # bf16 if the hardware supports it",
        ]
    )
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _line(key: str, value: Any, comment: str = "", indent: int = 4) -> str:
    """A key with a plain value on one line."""
    text = f"{' ' * indent}{key}: {to_yaml_line(value, sort_keys=False)}"
    return f"{text:<39} # {comment}" if comment else text


def _entry(entry: Entry) -> str:
    """A class on one line."""
    content = {"class_path": entry.class_path} | ({"init_args": entry.init_args} if entry.init_args else {})
    return to_yaml_line(content, sort_keys=False)


def _normalisation(images: ImagesFound) -> list[str]:
    mean, std = images.mean or FIRST_MEAN, images.std or FIRST_STD
    where = "of these images" if images.mean else "of ImageNet, which most weights expect"
    return [
        _line(
            "input_range",
            int(images.input_range) if images.input_range % 1 == 0 else images.input_range,
            "pixel value that means 1.0: 255 for 8 bits, 65535 for 16",
        ),
        _line("mean", mean, where),
        _line("std", std),
    ]


def _model(images: ImagesFound, labels: LabelsFound, sizes: Sizes) -> list[str]:
    task = {"boxes": "Detection", "label": "Classification", "multi": "Classification", "number": "Classification"}
    lines = ["model:", f"  class_path: lightning_modules.{task.get(labels.task, 'Segmentation')}Module", "  init_args:"]
    rate = 0.0005 if labels.task == "boxes" else 0.001 if task.get(labels.task) == "Classification" else 0.003
    lines += _detector(labels, sizes) if labels.task == "boxes" else _network(images, labels)
    lines += _normalisation(images)
    lines += [
        f"    optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: {rate}, weight_decay: 0.0001}}}}",
        "    scheduler: {class_path: lightning_modules.WarmupCosine, init_args: {warmup: 0.05}}",
        "    inference:",
        "      class_path: inference.Inference",
        "      init_args:",
        _line("tta", "hflip", "none, hflip, flips or d4 (no preferred orientation)", 8),
    ]
    if labels.task in ("label", "multi", "number"):
        lines.append(_line("size", [sizes.crop, sizes.crop], "images are resized to it", 8))
    elif sizes.tile is not None:
        lines.append(_line("tile", sizes.tile, "larger images are predicted in tiles", 8))
    return lines


def _detector(labels: LabelsFound, sizes: Sizes) -> list[str]:
    return [
        "    network:",
        "      class_path: torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn",
        "      init_args:                        # with a GPU retinanet_resnet50_fpn_v2 or another of torchvision",
        _line("num_classes", len(labels.classes) + 1, "background and the classes", 8),
        "        weights: null",
        _line("weights_backbone", None, "random weights; DEFAULT: ImageNet's, much better, downloaded", 8),
        _line("trainable_backbone_layers", 6, "all of them, as they are random", 8),
        _line("min_size", sizes.crop, "images are resized to it in training and prediction", 8),
        _line("max_size", 2 * sizes.crop, "", 8),
        _line("box_score_thresh", 0.05, "boxes below are not stored; `search` tunes the final threshold", 8),
    ]


def _network(images: ImagesFound, labels: LabelsFound) -> list[str]:
    count = len(labels.classes)
    if labels.task in ("label", "multi", "number"):
        output, channels = "label", 1 if labels.task == "number" else count
        more = f", in_channels: {images.channels}" if images.channels != 3 else ""
        lines = [
            "    network:",
            "      class_path: networks.ImageClassifier",
            f"      init_args: {{encoder: {ENCODER}, classes: {channels}, pretrained: false{more}}}",
            "                                        # for two CPU cores, random weights; better: a larger encoder of",
            "                                        # timm and `pretrained: true` (downloaded)",
            f"    outputs: [{output}]",
        ]
        activation = {"label": "softmax", "number": "none"}.get(labels.task)
        if activation is not None:
            lines.append(f"    activations: {{{output}: {activation}}}")
        loss = {"label": "cross_entropy", "multi": "bce", "number": "smooth_l1"}[labels.task]
        return [*lines, f"    loss: {loss}({output})"]
    channels = {"mask": 1, "classes": count, "instances": 2}.get(labels.task, 3 + count)
    lines = [
        "    network:",
        "      class_path: segmentation_models_pytorch.Unet",
        "      init_args:",
        _line("encoder_name", f"tu-{ENCODER}", "for two CPU cores; with a GPU resnet34 or larger", 8),
        _line("encoder_weights", None, "random weights; imagenet: better, downloaded", 8),
        _line("in_channels", images.channels, "", 8),
        "        decoder_channels: [128, 64, 48, 32, 16]",
        _line("classes", channels, "channels of the outputs", 8),
    ]
    if labels.task == "mask":
        return [*lines, "    outputs: [mask]", "    loss: bce(mask) + dice(mask)"]
    if labels.task == "classes":
        lines += ["    outputs: [mask]", "    activations: {mask: softmax}        # one class per pixel"]
        return [*lines, "    loss: cross_entropy(mask) + dice(mask)"]
    loss = "bce(body) + dice(body) + bce(border) + dice(border)"
    if labels.task == "instances":
        return [*lines, "    outputs: [[body, border]]", f"    loss: {loss}"]
    return [
        *lines,
        f'    outputs: [[body, border, "kind:{count + 1}"]]',
        "    activations: {kind: softmax}        # the class of each pixel or background; others: sigmoids",
        f"    loss: {loss} + cross_entropy(kind)",
    ]


def _data(images: ImagesFound, labels: LabelsFound, sizes: Sizes, sample: str | None) -> list[str]:
    kind = "DicomDataModule" if images.reader is None else "ImageDataModule"
    lines = ["data:", f"  class_path: datamodules.{kind}", "  init_args:", _line("root", images.root.as_posix())]
    lines.append(_line("images", labels.images or images.pattern))
    if images.val is not None and labels.split:
        lines.append(_line("val_images", images.val, "the author's validation images"))
        lines.append(_line("fold", "given", "or 0 to 4, for folds over all images"))
    if images.test is not None:
        lines.append(_line("test_images", _test_pattern(images, labels)))
    if sample is not None:
        lines.append(_line("sample_submission", sample))
    lines += [_line(key, value) for key, value in labels.data.items()]
    lines += ["    targets:", *(f"      - {_entry(entry)}" for entry in labels.targets)]
    if images.reader is None:
        lines.append("    reader: {class_path: datamodules.readers.DicomReader, init_args: {output: voi}}")
    else:
        reader = Entry("datamodules.readers.ImageReader", {"channels": images.reader})
        lines.append(f"    reader: {_entry(reader)}")
    lines.append(_line("batch_size", sizes.batch))
    if sizes.samples > 1:
        lines.append(_line("samples_per_image", sizes.samples, "crops of each image per epoch"))
    lines.append(_line("cache", sizes.cache, "decoded images; ram, disk or none"))
    lines += ["    augmentation:", *(f"      - {_entry(entry)}" for entry in _augmentation(labels.task, sizes))]
    return lines


def _test_pattern(images: ImagesFound, labels: LabelsFound) -> str | None:
    """The pattern of the test images, with ids taken from the same part of their names as those of the others."""
    if labels.images is None or images.test is None:
        return images.test
    name = labels.images.rpartition("/")[2]
    folder, slash, last = images.test.rpartition("/")
    return f"{folder}{slash}{name}" if last == images.pattern.rpartition("/")[2] else images.test


def _augmentation(task: Task, sizes: Sizes) -> list[Entry]:
    side = {"height": sizes.crop, "width": sizes.crop}
    if task == "boxes":
        first = [
            Entry("albumentations.LongestMaxSize", {"max_size": sizes.crop}),
            Entry("albumentations.PadIfNeeded", {"min_height": sizes.crop, "min_width": sizes.crop}),
        ]
    elif task in ("label", "multi", "number"):
        first = [Entry("albumentations.RandomResizedCrop", {"size": list(side.values()), "scale": [0.6, 1.0]})]
    else:
        first = [Entry("albumentations.RandomCrop", side | {"pad_if_needed": True})]
    return [
        *first,
        Entry("albumentations.HorizontalFlip", {"p": 0.5}),
        Entry("albumentations.RandomBrightnessContrast", {"p": 0.5}),
    ]


def _competition(labels: LabelsFound) -> list[str]:
    count = len(labels.classes)
    watershed = [
        Entry("postprocessing.Watershed", {"seed_threshold": 0.6, "mask_threshold": 0.5}),
        Entry("postprocessing.MinimumArea", {"pixels": 20, "output": "instances"}),
    ]
    metric, steps = {
        "mask": (Entry("evaluation.DicePerImage"), [Entry("postprocessing.Threshold", {"value": 0.5})]),
        "classes": (
            Entry("evaluation.IoUGlobal", {"classes": count}),
            [Entry("postprocessing.ArgMax", {"output": "mask"})],
        ),
        "instances": (Entry("evaluation.InstanceAveragePrecision"), watershed),
        "classed_instances": (
            Entry("evaluation.MaskAveragePrecision", {"classes": count, "threshold": 0.5, "class_map": "kind"}),
            [*watershed, Entry("postprocessing.InstanceClasses", {"classes": "kind", "first_class": 1})],
        ),
        "boxes": (
            Entry("evaluation.BoxAveragePrecision", {"classes": count, "threshold": 0.5}),
            [
                Entry("postprocessing.NonMaximumSuppression", {"iou": 0.5}),
                Entry("postprocessing.MinimumScore", {"value": 0.05}),
            ],
        ),
        "label": (
            Entry("evaluation.Accuracy", {"classes": count}),
            [Entry("postprocessing.ArgMax", {"output": "label"})],
        ),
        "multi": _multi(labels),
        "number": (Entry("evaluation.MeanAbsoluteError", {"output": "label"}), []),
    }[labels.task]
    lines = ["competition:", f"  metric: {_entry(metric)}"]
    lines += ["  postprocess:", *(f"    - {_entry(step)}" for step in steps)] if steps else ["  postprocess: []"]
    if labels.submission is not None:
        lines.append(f"  submission: {_entry(labels.submission)}")
    return lines


def _multi(labels: LabelsFound) -> tuple[Entry, list[Entry]]:
    """Metric and steps of several classes: of labels as text, or of a probability for each class."""
    if labels.submission is not None and labels.submission.class_path.endswith("ClassColumns"):
        return Entry("evaluation.AreaUnderROC"), []
    return (
        Entry("evaluation.FBeta", {"average": "samples", "beta": 1.0}),
        [Entry("postprocessing.LabelThreshold", {"value": 0.3, "best": True})],
    )

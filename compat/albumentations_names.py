"""Old names of albumentations 1.x with their replacements in 2.x, and names that never existed."""

import difflib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

RENAMED: dict[str, str] = {
    "Cutout": "CoarseDropout(num_holes_range, hole_height_range, hole_width_range)",
    "Flip": "HorizontalFlip and VerticalFlip, or D4",
    "GaussianNoise": "GaussNoise(std_range)",
    "IAAAdditiveGaussianNoise": "GaussNoise(std_range)",
    "IAAAffine": "Affine",
    "IAAFliplr": "HorizontalFlip",
    "IAAFlipud": "VerticalFlip",
    "IAAPerspective": "Perspective",
    "IAAPiecewiseAffine": "PiecewiseAffine",
    "IAASharpen": "Sharpen",
    "JpegCompression": "ImageCompression(quality_range)",
    "RandomBrightness": "RandomBrightnessContrast(contrast_limit=0)",
    "RandomContrast": "RandomBrightnessContrast(brightness_limit=0)",
}
FILL = {"value": "fill", "mask_value": "fill_mask"}
SIZE = {"height": "size: [height, width]", "width": "size: [height, width]"}
ARGUMENTS: dict[str, dict[str, str]] = {
    "Affine": {"mode": "border_mode", "cval": "fill", "cval_mask": "fill_mask"},
    "CoarseDropout": {
        "fill_value": "fill",
        "mask_fill_value": "fill_mask",
        "max_height": "hole_height_range",
        "max_holes": "num_holes_range",
        "max_width": "hole_width_range",
        "min_height": "hole_height_range",
        "min_holes": "num_holes_range",
        "min_width": "hole_width_range",
    },
    "Downscale": {"scale_max": "scale_range", "scale_min": "scale_range"},
    "ElasticTransform": FILL | {"alpha_affine": "an Affine before it (its shift was part of the old transform)"},
    "GaussNoise": {
        "mean": "mean_range",
        "var_limit": "std_range, as a fraction of the range: [sqrt(low) / 255, sqrt(high) / 255]",
    },
    "GridDistortion": FILL,
    "ImageCompression": {"quality_lower": "quality_range", "quality_upper": "quality_range"},
    "OpticalDistortion": FILL | {"shift_limit": "an Affine for shifts"},
    "PadIfNeeded": FILL,
    "Perspective": {"pad_mode": "border_mode", "pad_val": "fill", "mask_pad_val": "fill_mask"},
    "RandomResizedCrop": SIZE,
    "RandomSizedCrop": SIZE,
    "Rotate": FILL,
    "SafeRotate": FILL,
    "ShiftScaleRotate": FILL,
}


def arguments_of(name: str) -> list[str]:
    """Arguments of a class of albumentations; empty if it is unknown or accepts any."""
    found = getattr(importlib.import_module("albumentations"), name, None)
    parameters = inspect.signature(found).parameters.values() if isinstance(found, type) else []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return []
    return [parameter.name for parameter in parameters]


def old_names(config: Any, place: str = "", thorough: bool = True) -> Iterator[str]:
    """One sentence per name in a nested config that is unknown to albumentations 2, with its replacement.

    Args:
        config: nested config.
        place: its dotted key.
        thorough: whether to check names that were never in albumentations too, which imports it.
    """
    if isinstance(config, list):
        for number, value in enumerate(config):
            yield from old_names(value, f"{place}[{number}]", thorough)
        return
    if not isinstance(config, dict):
        return
    path = config.get("class_path")
    if isinstance(path, str) and path.startswith("albumentations."):
        name = path.rpartition(".")[2]
        if name in RENAMED:
            yield f"{place}: albumentations 2 has no {name}, use {RENAMED[name]}"
        elif thorough and not hasattr(importlib.import_module("albumentations"), name):
            near = difflib.get_close_matches(name, dir(importlib.import_module("albumentations")), n=1)
            yield f"{place}: albumentations has no {name}" + (f", did you mean {near[0]}?" if near else "")
        for argument in config.get("init_args") or {}:
            known = arguments_of(name) if thorough else []
            if argument in ARGUMENTS.get(name, {}):
                yield f"{place}: {name} has no {argument} in albumentations 2, use {ARGUMENTS[name][argument]}"
            elif known and argument not in known:
                near = difflib.get_close_matches(argument, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                yield f"{place}: {name} has no {argument}; {hint}"
    for key, value in config.items():
        inside = place if key == "init_args" else f"{place}.{key}" if place else str(key)
        yield from old_names(value, inside, thorough)

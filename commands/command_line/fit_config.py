"""Checks and changes of a training config before instantiation."""

from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from compat.albumentations_names import old_names
from experiments.fit_settings import FitSettings
from experiments.overriding_classes import without_replaced
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_as_written, read_yaml
from files.writing import to_yaml


def arguments_of(settings: FitSettings) -> list[str]:
    """Arguments for Lightning's parser; a config that has to change is passed as text instead of its path.

    Former keys are renamed, and classes that a later config replaces are removed with their arguments.
    """
    present = iter(without_replaced([read_yaml(file) for file in settings.configs if file.is_file()]))
    return [
        part
        for file in settings.configs
        for part in ("--config", _text_or_path(file, next(present)) if file.is_file() else str(file))
    ] + [part for flag in settings.flags for part in flag.arguments()]


def _text_or_path(file: Path, present: dict[str, Any]) -> str:
    return str(file) if present == read_as_written(file) else to_yaml(present)


def check_names(settings: FitSettings, thorough: bool = True) -> None:
    """Reject albumentations 1.x names in the configs; the error lists all of them with their new names.

    Args:
        settings: configs and flags.
        thorough: whether to look for misspelt names too, which imports albumentations.
    """
    for file in settings.configs:
        wrong = list(old_names(read_yaml(file), thorough=thorough)) if file.is_file() else []
        if wrong:
            raise SystemExit(f"error: {file} uses names that albumentations 2 does not have\n  " + "\n  ".join(wrong))


def resolve_monitors(config: Namespace) -> None:
    """Set the mode of `val/score` from the metric; disable monitors if there is no validation."""
    module, _, name = config.competition.metric.class_path.rpartition(".")
    mode = "max" if getattr(import_module(module), name).higher_is_better else "min"
    if config.checkpoint.monitor == "val/score":
        config.checkpoint.mode = mode
    stopping = config.early_stopping
    if stopping is not None and stopping.init_args.monitor == "val/score":
        stopping.init_args.mode = mode
    if config.data.init_args.fold == "all":
        config.checkpoint.monitor, config.checkpoint.save_top_k, config.early_stopping = None, 0, None


def set_pseudo_label_fold(data: Namespace) -> None:
    """Use the pseudo-labels of the validation fold, whose teachers were not trained on its targets."""
    for source in data.external or []:
        own = source.init_args
        if not source.class_path.endswith(".PseudoLabels"):
            continue
        given = (own.fold, own.folds)
        if any(one not in (None, other) for one, other in zip(given, (data.fold, data.folds), strict=True)):
            raise SystemExit(
                f"error: data.external: the pseudo-labels of {own.root} are set to fold {own.fold} of {own.folds}, but "
                f"this run validates fold {data.fold} of {data.folds}; remove `fold` and `folds` from data.external"
            )
        own.fold, own.folds = data.fold, data.folds


def check_not_trained(run: RunFolder) -> None:
    """Reject a run folder that already contains checkpoints of another run."""
    left = sorted(path.name for path in run.checkpoints.glob("*.ckpt"))
    if left:
        raise SystemExit(
            f"error: {run.path} already contains a trained run ({', '.join(left)})\n"
            "  resume it:   --ckpt_path last\n"
            "  replace it:  --overwrite true\n"
            "  keep both:   --experiment ANOTHER_NAME"
        )


def prediction_settings(config: str) -> list[Any]:
    """Settings besides checkpoint and inference that affect predictions; flags may change any of them."""
    content = yaml.safe_load(config)
    of_model = ("network", "outputs", "inputs", "activations")
    of_data = ("reader", "preprocessing", "features")
    keys = [("model", name) for name in of_model] + [("data", name) for name in of_data]
    return [content["data"]["class_path"], *(content[part]["init_args"].get(name) for part, name in keys)]

"""A training batch after augmentation, from a config, without the network."""

import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ActionConfigFile

from augmentations import Augmentation
from augmentations.base import blanked_batch, flatten_steps, on_batch
from commands.command_line.command_line import CommandLine
from commands.command_line.parser import VerbParser
from compat.jsonargparse import unwrap_parser_errors
from datamodules import BaseDataModule
from datamodules.plain import BaseData
from experiments.run_folder import fold_runs
from experiments.yaml_files import read_yaml
from files.writing import to_yaml


class ModelView(NamedTuple):
    """What `model` of a config does to batches before the network.

    Attributes:
        augmentation: augmentations on the device.
        input_range: pixel value that means 1.0.
        inputs: keys of the batch that are inputs of the network.
    """

    augmentation: list[Augmentation]
    input_range: float
    inputs: list[str]


def augmented_batch(data: BaseData, line: CommandLine) -> tuple[dict[str, Any], ModelView]:
    """Return the first training batch of the first epoch, augmented as in `fit`, and what `model` does to it.

    Args:
        data: the datamodule, not set up yet; no file is decoded that the batch does not need.
        line: command line, with the configs or a run folder.
    """
    if not isinstance(data, BaseDataModule):
        raise ValueError(f"{type(data).__name__} has no batches, expected a datamodule of `datamodules`")
    view = model_view(line)
    data.cache, data.num_workers = "none", 0
    data.prepare_data()
    data.setup("fit")
    for step in flatten_steps(view.augmentation):
        step.prepare(data.training_labels)
    batch = next(iter(data.train_dataloader()))
    rng = np.random.default_rng([int(os.environ.get("PL_GLOBAL_SEED", 0)), 0, 0, 0])  # as `BaseModule.augment`
    torch.manual_seed(0)
    with torch.no_grad():
        return blanked_batch(on_batch(view.augmentation, batch, view.input_range, rng)), view


def model_view(line: CommandLine) -> ModelView:
    """Read `augmentation`, `input_range` and `inputs` of `model` from configs and flags; the network is not built."""
    folder = line.folder()
    files = list(line.settings.configs) or ([] if folder is None else [fold_runs(folder)[0].config])
    parser = VerbParser(prog="python cli.py explore")
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_argument("--model.augmentation", type=list[Augmentation] | None, default=None)
    parser.add_argument("--model.input_range", type=float, default=255.0)
    parser.add_argument("--model.inputs", type=list[str] | None, default=None)
    given = []
    for file in files:
        arguments = (read_yaml(file).get("model") or {}).get("init_args") or {}
        own = {name: value for name, value in arguments.items() if name in ModelView._fields}
        given += ["--config", to_yaml({"model": own})] if own else []
    for flag in line.settings.flags:
        if flag.key.startswith("model.") and flag.key.split(".")[1] in ModelView._fields:
            given += flag.arguments()
    parsed = parser.parse_args(given)
    with unwrap_parser_errors():
        model = parser.instantiate(parsed).model
    return ModelView(model.augmentation or [], model.input_range, model.inputs or ["image"])


def without_model(line: CommandLine) -> list[str]:
    """Arguments without the flags of `model`, which offline verbs do not know."""
    flags = tuple(flag for flag in line.settings.flags if flag.key.split(".")[0] != "model")
    return [*line.paths, *replace(line.settings, flags=flags).arguments()]

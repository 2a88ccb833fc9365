"""Terminal output of training verbs before and after the run."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from callbacks import CompetitionScore
from callbacks.snapshots import main_checkpoint
from datamodules import BaseDataModule
from evaluation.interval import bootstrap_interval
from experiments.fit_settings import FitSettings
from experiments.overriding_classes import inherited
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from lightning_modules import BaseModule
from lightning_modules.normalisation import describe


@rank_zero_only
def print_start(settings: FitSettings, run: RunFolder, model: BaseModule, trainer: pl.Trainer) -> None:
    """Print the changes to the first config, the network, the loss, the run folder and the callbacks."""
    for line in settings.changes():
        if not line.startswith("stages: "):
            print(f"changed  {line}")
    for line in inherited([read_yaml(file) for file in settings.configs if file.is_file()]):
        print(line)
    print(f"network  {size_of(model.network)}")
    for line in describe(model.network, model.mean, model.std, float(model.input_range)):
        print(line)
    for term in ["computed by the network"] if model.loss is None else model.loss.terms_text():
        print(f"loss     {term}")
    print(f"runs to  {run.path}")
    print("watched  " + ", ".join(type(callback).__name__ for callback in trainer.callbacks))


def size_of(network: torch.nn.Module) -> str:
    """Class and size of a network: `Unet, 1.5 M parameters, 0.4 M of them trained`."""
    counts = [sum(p.numel() for p in network.parameters() if p.requires_grad or not only) for only in (False, True)]
    every, trained = (f"{count / 1e6:.1f} M" if count >= 1e5 else str(count) for count in counts)
    some = f", {trained} of them trained" if counts[0] != counts[1] else ""
    return f"{type(network).__name__}, {every} parameters{some}"


@rank_zero_only
def print_end(
    verb: str, run: RunFolder, trainer: pl.Trainer, datamodule: BaseDataModule, score: CompetitionScore
) -> None:
    """Print the scores, the output paths and the next commands."""
    experiment = run.path.parent
    print()
    if verb == "predict":
        for split in datamodule.predict_splits():
            print(f"predictions of {split}: {run.predictions / Path(split).name}")
        print(f"next:  python cli.py search {experiment}\n       python cli.py submit {experiment}")
        return
    for name, metric in score.competition.metrics().items() if score.latest else ():
        low, high = bootstrap_interval(metric)
        label = f"{name} ({type(metric).__name__})" if name == "score" else name
        images = f"over {len(metric.rows)} images"
        print(f"{verb}: {label} {score.latest[name]:.4f}  [{low:.4f}, {high:.4f}] {images}")
    if verb == "fit" and not score.latest and datamodule.fold != "all":
        print(f"fit: no validation ran in this session, which ended at step {trainer.global_step}")
    print(f"outputs written to {run.path}: config.yaml, metrics.csv, curves.png, panels/, scores.csv, checkpoints/")
    if verb == "fit":
        kept = main_checkpoint(trainer)
        if kept is not None and kept.best_model_score is not None:
            best = run.checkpoints / Path(kept.best_model_path).name  # Lightning's path is absolute
            print(f"best checkpoint: {best} ({float(kept.best_model_score):.4f})")
        print(f"next:  python cli.py predict {run.path}")

"""The four training verbs, built on LightningCLI."""

import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, Timer, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from callbacks import (
    AccumulatedGradients,
    CompetitionScore,
    DurableCheckpointIO,
    EarlyStopping,
    ExponentialMovingAverage,
    FinalValidation,
    FiniteLoss,
    Forecast,
    PredictionTimeLimit,
    PredictionWriter,
    RunCheckpoint,
    StepSeeds,
    StopSignals,
    TimeBudget,
)
from callbacks.checkpoint_io import warn_of_little_space
from callbacks.progress_lines import ProgressLines
from callbacks.time_limit import seconds
from callbacks.train_batch import TrainBatchPanel
from commands.command_line.command_line import CommandLine
from commands.command_line.fit_config import (
    arguments_of,
    check_names,
    check_not_trained,
    prediction_settings,
    resolve_monitors,
    set_pseudo_label_fold,
)
from commands.command_line.parser import VerbParser, add_experiment_arguments
from commands.command_line.quiet import silence_libraries
from commands.command_line.training_output import print_end, print_start
from compat.jsonargparse import integers_first, unwrap_parser_errors
from datamodules import BaseDataModule
from experiments.draw_curves import Curves
from experiments.fit_settings import FitSettings, Flag
from experiments.lease import Lease
from experiments.processes import terminate_children_on_exit
from experiments.run_folder import RunFolder, fold_name, git_commit
from experiments.save_run import SaveRun, check_folds
from experiments.stages import run_stages, stages_given
from files.paths import file_hash, text_hash
from inference.coarse import CoarseMasks
from lightning_modules import BaseModule
from lightning_modules.weights import check_whole, newest_readable, prepare_networks, read_checkpoint
from loggers.choose import make_loggers
from loggers.metrics_csv import MetricsCSV

CHECKPOINT_DEFAULTS = {
    "monitor": "val/score",
    "mode": "max",
    "filename": "best",
    "save_last": True,
    "auto_insert_metric_name": False,
    "enable_version_counter": False,
}


class Parser(VerbParser, LightningArgumentParser):
    """Parser of fit, validate, test and predict."""

    def add_lightning_class_args(self, lightning_class: Any, nested_key: str, *args: Any, **kwargs: Any) -> list[str]:
        added = super().add_lightning_class_args(lightning_class, nested_key, *args, **kwargs)
        if lightning_class is pl.Trainer:
            integers_first(self)
        return added


class CompetitionCLI(LightningCLI):
    """LightningCLI for one of the verbs fit, validate, test and predict.

    Args:
        verb: name of the verb; only its parser is built.
        settings: configs and flags.
    """

    def __init__(self, verb: str, settings: FitSettings) -> None:
        self.verb, self.settings = verb, settings
        self.lease: Lease | None = None
        self.stop_signals = StopSignals()
        try:
            super().__init__(
                BaseModule,
                BaseDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=None,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                seed_everything_default=0,
                parser_class=Parser,
                # Lightning's model summary handles neither its operations nor bf16; `print_start` prints the size.
                trainer_defaults={"log_every_n_steps": 10, "enable_model_summary": False},
                parser_kwargs={verb: {"prog": f"python cli.py {verb}"}},
                args=[verb, *arguments_of(settings)],
            )
        finally:
            if self.lease is not None:
                self.lease.give_back()

    def subcommands(self) -> dict[str, set[str]]:
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        self.verb_parser = parser  # the only parser: there is one verb
        add_experiment_arguments(parser)
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Whether fit replaces an existing run in the run folder."
        )
        parser.add_argument(
            "--stages",
            type=list[dict[str, Any]] | None,
            default=None,
            help="Training stages: mappings with `name`, `from` (best, last or average) and the keys to change.",
        )
        parser.add_argument(
            "--panels",
            type=int,
            default=8,
            help="Number of images in the panel drawn at each validation; 0 disables panels.",
        )
        parser.add_argument(
            "--save_last_every",
            type=PositiveInt | None,
            default=None,
            help="Optimizer steps between saves of last.ckpt, from which an interrupted run resumes; by default, only "
            "validations save it.",
        )
        parser.add_argument(
            "--total_time",
            type=str | None,
            default=None,
            help="Time limit of all sessions of a run together, HH:MM:SS, from the first one with a time limit on; "
            "trainer.max_time is that of each session.",
        )
        if self.verb == "predict":
            parser.add_argument(
                "--time_limit",
                type=str | None,
                default=None,
                help="Time limit per fold, HH:MM:SS; TTA views are dropped as the limit approaches.",
            )
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{key}": value for key, value in CHECKPOINT_DEFAULTS.items()})
        parser.add_argument(
            "--early_stopping",
            type=EarlyStopping | None,
            default=None,
            help="Early stopping when the monitored value no longer improves.",
        )
        parser.add_argument(
            "--ema",
            type=ExponentialMovingAverage | None,
            default=None,
            help="Exponential moving average of the weights.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        # Hidden from LightningCLI, which would silently override flags and config with the checkpoint's settings.
        config = self.config[self.verb]
        self.checkpoint_wanted, config.ckpt_path = config.ckpt_path, None

    def before_instantiate_classes(self) -> None:
        config = self.config[self.verb]
        config.experiment = config.experiment or self.settings.name
        data = config.data.init_args
        self.run = RunFolder(config.run_folder or Path(config.runs) / config.experiment / fold_name(data.fold))
        if not config.trainer.fast_dev_run:
            self.run.check_writable()
            # The rank counts within a node until there is a Trainer, if Lightning itself starts the other processes.
            first = rank_zero_only.rank == 0 and LightningEnvironment().node_rank() == 0
            if self.verb == "fit" and first:
                self.lease = Lease(self.run.path / "lease.json")
                self.lease.take()
                self.run.remove_leftovers()
        if data.folds is None and not isinstance(data.fold, str):
            data.folds = f"folds/{self.settings.name}.csv"
        set_pseudo_label_fold(data)
        config.checkpoint.dirpath = str(self.run.checkpoints)
        config.trainer.default_root_dir = config.trainer.default_root_dir or str(self.run.path)
        config.trainer.use_distributed_sampler = False  # the datamodule shards; a second sampler would break that
        resolve_monitors(config)
        # The saved config reproduces the run, so it excludes the starting checkpoint and the folder of this call.
        saved = config.clone()
        saved.ckpt_path, saved.run_folder, saved.overwrite, saved.stages = None, None, False, None
        self.text = self.verb_parser.dump(saved, skip_unset=False)
        self.model_config = yaml.safe_load(self.text)["model"]
        if self.verb == "predict":
            config.return_predictions = False  # they are written to disk; keeping them would exhaust memory
        # Built separately, so that a missing logger library does not stop the run.
        self.loggers = given = config.trainer.logger
        config.trainer.logger = given if isinstance(given, bool) else None
        self.checkpoint = self._find_checkpoint(config)
        model = config.model.as_dict()
        files = {key: value for key, value in model["init_args"].items() if key in ("init_from", "encoder_init_from")}
        pretrained = self.checkpoint is None and not any(files.values())
        if self.checkpoint is not None:  # it contains all weights; these files may be gone
            model["init_args"] |= dict.fromkeys(files)
        config.model = Namespace(prepare_networks(model, pretrained))

    def _find_checkpoint(self, config: Namespace) -> Path | None:
        """Resolve `best`, `last` or a path to a file; all verbs except fit default to `best`."""
        name = self.checkpoint_wanted if self.verb == "fit" else self.checkpoint_wanted or "best"
        checkpoint = None if name is None else self.run.checkpoint(str(name))
        if name == "last":
            checkpoint = newest_readable(self.run.last_checkpoints())
        self.checkpoint_name = str(name) if name in ("best", "last") else str(Path(str(name)).resolve())
        config.ckpt_path = None if checkpoint is None else str(checkpoint)
        if checkpoint is not None:
            check_whole(checkpoint)
        if self.verb == "fit" and checkpoint is None and not config.trainer.fast_dev_run and not config.overwrite:
            check_not_trained(self.run)
        return checkpoint

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.verb].trainer
        off = config.logger is False or config.fast_dev_run
        loggers = [] if off else [MetricsCSV(self.run.path, self.verb), *make_loggers(self.loggers)]
        given = config.callbacks or []
        given = given if isinstance(given, list) else [given]
        own = TQDMProgressBar(refresh_rate=5) if sys.stdout.isatty() else ProgressLines()
        bar = [] if any(isinstance(callback, ProgressBar) for callback in given) else [own]
        bar = bar if config.enable_progress_bar is not False else []
        # LightningCLI appends the checkpoint callback, which runs last.
        callbacks = [*given, *bar, *self._own_callbacks()]
        self.config_init[self.verb].checkpoint.every_n_steps = self.config_init[self.verb].save_last_every
        plugins = config.plugins or []
        plugins = list(plugins) if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(DurableCheckpointIO())
        kwargs = {"logger": loggers or False, "callbacks": callbacks, "plugins": plugins, **kwargs}
        return super().instantiate_trainer(**kwargs)

    def _own_callbacks(self) -> list[pl.Callback]:
        config = self.config_init[self.verb]
        quick = bool(config.trainer.fast_dev_run)
        self.score = CompetitionScore(config.competition, None if quick else self.run.path, config.panels)
        callbacks = [self.score, config.ema, config.early_stopping, FinalValidation(), FiniteLoss()]
        if self.verb == "fit" and not quick:
            facts = {"commit": git_commit(), "command": ["cli.py", *sys.argv[1:]], "config_hash": text_hash(self.text)}
            anew = self.checkpoint is None
            callbacks += [StepSeeds(), AccumulatedGradients(), self.stop_signals, self._time_budget(), Forecast()]
            callbacks += [SaveRun(self.run, self.text, facts, anew), Curves(self.run.path)]
            if config.panels:
                callbacks.append(TrainBatchPanel(self.run.path / "panels" / "train_batch.png", config.panels))
            if config.trainer.logger is not False:
                callbacks.append(LearningRateMonitor("step"))
        if self.verb == "predict":
            coarse_run = self.model.inference.coarse_run
            coarse = [] if coarse_run is None else CoarseMasks(coarse_run).stores
            settings = prediction_settings(self.text)
            seen = f"{file_hash(self.checkpoint)} {self.model.inference.fingerprint()} {settings}"
            made_with = self.checkpoint_name, self.checkpoint
            callbacks.append(PredictionWriter(self.run.predictions, text_hash(seen), made_with, coarse))
            if config.time_limit is not None:
                callbacks.append(PredictionTimeLimit(config.time_limit))
        return [callback for callback in callbacks if callback is not None]

    def _time_budget(self) -> TimeBudget | None:
        config = self.config_init[self.verb]
        given = Timer(config.trainer.max_time).time_remaining()
        session = None if given is None else timedelta(seconds=given)
        total = None if config.total_time is None else timedelta(seconds=seconds(config.total_time, "--total_time"))
        if session is None and total is None:
            return None
        config.trainer.max_time = total if session is None else session  # lets the Trainer go on without max_epochs
        return TimeBudget(session, total)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Fit, with an exit status that tells the shell by which signal it was stopped."""
        try:
            self.trainer.fit(*args, **kwargs)
        except SIGTERMException as stopped:
            raise SystemExit(self.stop_signals.status) from stopped

    def instantiate_classes(self) -> None:
        with unwrap_parser_errors():
            super().instantiate_classes()

    def after_instantiate_classes(self) -> None:
        self.model.config = self.model_config

    def before_fit(self) -> None:
        if self.checkpoint is not None:
            self._check_folds()
        print_start(self.settings, self.run, self.model, self.trainer)
        warn_of_little_space(self.run.checkpoints, self.model, self.config_init[self.verb].ema is not None)
        for logger in self.trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(self.text))

    def before_validate(self) -> None:
        self._check_folds()

    def before_predict(self) -> None:
        if "val" in self.datamodule.predict_split:  # predicting a test set needs no folds
            self._check_folds()

    def _check_folds(self) -> None:
        """Check the folds before old predictions are deleted or the run records the new folds."""
        if self.datamodule.fold != "all" and self.checkpoint is not None:
            before = read_checkpoint(self.checkpoint).get("folds_hash")
            check_folds(before, None if before is None else self.datamodule.folds_hash(), self.datamodule.folds)


def run_verb(verb: str, arguments: list[str]) -> None:
    """Run one training verb with the command-line arguments after it."""
    silence_libraries()
    line = CommandLine.read(arguments)
    settings = with_run(line)
    check_names(settings)
    stages = stages_given(settings) if verb == "fit" else None
    if stages is not None and not line.asks_for_help and not line.prints_config:
        print(f"next:  python cli.py predict {run_stages(settings, stages).path}")
        return
    # Lightning's handler of SIGTERM stops a fit at the next batch, but lets a prediction run on.
    with nullcontext() if verb == "fit" else terminate_children_on_exit():
        done = CompetitionCLI(verb, settings)
    print_end(verb, done.run, done.trainer, done.datamodule, done.score)


def with_run(line: CommandLine) -> FitSettings:
    """Settings of a command line; for a run folder, its config overridden by the flags."""
    if not line.paths:
        return line.settings
    folder = Path(line.paths[0])
    if len(line.paths) > 1:
        raise SystemExit(f"error: unrecognized arguments: {' '.join(line.paths[1:])}; expected one run folder")
    run = RunFolder(folder)
    if not run.config.is_file():
        raise SystemExit(f"error: {folder} is not a run folder (no config.yaml); give a folder written by `fit`")
    flags = (Flag("--run_folder", str(folder)), *line.settings.flags)
    return FitSettings((run.config, *line.settings.configs), flags)

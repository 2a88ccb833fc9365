"""The four training verbs: LightningCLI with its traps settled."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_only

from callbacks import (
    CompetitionScore,
    EarlyStopping,
    ExponentialMovingAverage,
    FinalValidation,
    FiniteLoss,
    PredictionTimeLimit,
    PredictionWriter,
    RunCheckpoint,
)
from callbacks.snapshots import main_checkpoint
from commands.command_line.quiet import quiet
from compat.former_keys import accept_former_keys
from compat.jsonargparse import cause_first, flags_of, integers_first, own_words
from datamodules import BaseDataModule
from evaluation.cross_validation import CrossValidation
from evaluation.interval import bootstrap_interval
from experiments.arguments import (
    CONFIG_FLAGS,
    changes,
    check_names,
    check_order,
    expand_run,
    experiment_name,
)
from experiments.curves import Curves
from experiments.run_folder import RunFolder, fold_name, git_commit
from experiments.save_run import SaveRun, check_folds
from experiments.stages import run_stages, stages_given
from files.paths import file_hash, text_hash
from files.texts import read_text
from files.writing import to_yaml
from inference.coarse import CoarseMasks
from lightning_modules import BaseModule
from lightning_modules.weights import check_whole, read_checkpoint, without_hub
from loggers.choose import make_loggers
from loggers.metrics_csv import MetricsCSV
from submissions.competition import Competition

CHECKPOINT_DEFAULTS = {
    "monitor": "val/score",
    "mode": "max",
    "filename": "best",
    "save_last": True,
    "auto_insert_metric_name": False,
    "enable_version_counter": False,
}


class Parser(LightningArgumentParser):
    """Lightning's parser, with errors whose first line is the cause and no guessing of abbreviated flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        verb = kwargs.get("prog", "python cli.py VERB")
        kwargs.setdefault("usage", f"{verb} (--config FILE | RUN_FOLDER) [--key value …]")
        super().__init__(*args, **kwargs)

    def add_lightning_class_args(self, lightning_class: Any, nested_key: str, *args: Any, **kwargs: Any) -> list[str]:
        added = super().add_lightning_class_args(lightning_class, nested_key, *args, **kwargs)
        if lightning_class is pl.Trainer:
            integers_first(self)
        return added

    def error(self, message: str, ex: Exception | None = None) -> None:
        if not self.exit_on_error:  # a nested attempt of jsonargparse's own, which it may recover from
            super().error(message, ex)
        print(cause_first(message, flags_of(self)), file=sys.stderr)
        raise SystemExit(2)


class CompetitionCLI(LightningCLI):
    """One verb of fit, validate, test and predict.

    Args:
        verb: the verb; only its parser is built.
        arguments: what follows the verb on the command line.
    """

    def __init__(self, verb: str, arguments: list[str]) -> None:
        self.verb, self.arguments = verb, arguments
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
            # Lightning's table of the network knows neither its operations nor bf16; `print_start` has the parameters.
            trainer_defaults={"log_every_n_steps": 10, "enable_model_summary": False},
            parser_kwargs={verb: {"prog": f"python cli.py {verb}"}},
            args=[verb, *with_present_keys(arguments)],
        )

    def subcommands(self) -> dict[str, set[str]]:
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        self.verb_parser = parser  # the only one, as there is one verb
        add_experiment_arguments(parser)
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Let fit replace the run that is already in the run folder."
        )
        parser.add_argument(
            "--stages",
            type=list[dict[str, Any]] | None,
            default=None,
            help="Stages of the run: each a mapping of `name`, `from` (best, last, average) and keys it changes.",
        )
        parser.add_argument(
            "--panels", type=int, default=8, help="Images in the panel that each validation draws; 0 draws none."
        )
        if self.verb == "predict":
            parser.add_argument(
                "--time_limit",
                type=str | None,
                default=None,
                help="HH:MM:SS that each fold may take; towards it test-time augmentation is given up view by view.",
            )
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.set_defaults({f"checkpoint.{key}": value for key, value in CHECKPOINT_DEFAULTS.items()})
        parser.add_argument(
            "--early_stopping", type=EarlyStopping | None, default=None, help="Stop when the monitored value stalls."
        )
        parser.add_argument(
            "--ema", type=ExponentialMovingAverage | None, default=None, help="Moving average of the weights."
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        # Taken out before LightningCLI sees it: a checkpoint's settings would override flags and config without a word.
        config = self.config[self.verb]
        self.checkpoint_wanted, config.ckpt_path = config.ckpt_path, None

    def before_instantiate_classes(self) -> None:
        config = self.config[self.verb]
        config.experiment = config.experiment or experiment_name(self.arguments)
        data = config.data.init_args
        self.run = RunFolder(config.run_folder or Path(config.runs) / config.experiment / fold_name(data.fold))
        if not config.trainer.fast_dev_run:
            self.run.check_writable()
        if data.folds is None and not isinstance(data.fold, str):
            data.folds = f"folds/{experiment_name(self.arguments)}.csv"
        tell_fold(data)
        config.checkpoint.dirpath = str(self.run.checkpoints)
        config.trainer.default_root_dir = config.trainer.default_root_dir or str(self.run.path)
        config.trainer.use_distributed_sampler = False  # the datamodule shards; a second sampler would break that
        resolve_monitors(config)
        # What is saved repeats the run; the checkpoint to start from and the folder belong to this call alone.
        saved = config.clone()
        saved.ckpt_path, saved.run_folder, saved.overwrite, saved.stages = None, None, False, None
        self.text = self.verb_parser.dump(saved, skip_none=False)
        self.model_config = yaml.safe_load(self.text)["model"]
        if self.verb == "predict":
            config.return_predictions = False  # they are on disk; keeping them would fill the memory
        # Built apart, each on its own: one whose library is missing must not end the run.
        self.loggers = given = config.trainer.logger
        config.trainer.logger = given if isinstance(given, bool) else None
        self.checkpoint = self._find_checkpoint(config)
        if self.checkpoint is not None or config.model.init_args.init_from is not None:
            model = without_hub(config.model.as_dict())
            if self.checkpoint is not None:  # holds all weights; what the run began from need not be there any more
                model["init_args"]["init_from"] = None
            config.model = Namespace(model)

    def _find_checkpoint(self, config: Namespace) -> Path | None:
        """Turn `best`, `last` or a path into a file; every verb but fit takes the best unless told otherwise."""
        name = self.checkpoint_wanted if self.verb == "fit" else self.checkpoint_wanted or "best"
        checkpoint = None if name is None else self.run.checkpoint(str(name))
        self.checkpoint_name = str(name) if name in ("best", "last") else str(Path(str(name)).resolve())
        config.ckpt_path = None if checkpoint is None else str(checkpoint)
        if checkpoint is not None:
            check_whole(checkpoint)
        if self.verb == "fit" and checkpoint is None and not config.trainer.fast_dev_run and not config.overwrite:
            refuse_trained(self.run)
        return checkpoint

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.verb].trainer
        off = config.logger is False or config.fast_dev_run
        loggers = [] if off else [MetricsCSV(self.run.path, self.verb), *make_loggers(self.loggers)]
        given = config.callbacks or []
        given = given if isinstance(given, list) else [given]
        bar = [] if any(isinstance(callback, ProgressBar) for callback in given) else [TQDMProgressBar(refresh_rate=5)]
        bar = bar if config.enable_progress_bar is not False else []
        callbacks = [*given, *bar, *self._own_callbacks()]  # LightningCLI adds the checkpoint's, which runs last
        return super().instantiate_trainer(**{"logger": loggers or False, "callbacks": callbacks, **kwargs})

    def _own_callbacks(self) -> list[pl.Callback]:
        config = self.config_init[self.verb]
        quick = bool(config.trainer.fast_dev_run)
        self.score = CompetitionScore(config.competition, None if quick else self.run.path, config.panels)
        callbacks = [self.score, config.ema, config.early_stopping, FinalValidation(), FiniteLoss()]
        if self.verb == "fit" and not quick:
            facts = {"commit": git_commit(), "command": ["cli.py", *sys.argv[1:]], "config_hash": text_hash(self.text)}
            anew = self.checkpoint is None
            callbacks += [SaveRun(self.run, self.text, facts, anew), Curves(self.run.path)]
            if config.trainer.logger is not False:
                callbacks.append(LearningRateMonitor("step"))
        if self.verb == "predict":
            coarse_run = self.model.inference.coarse_run
            coarse = [] if coarse_run is None else CoarseMasks(coarse_run).stores
            seen = f"{file_hash(self.checkpoint)} {self.model.inference.fingerprint()} {shown_to_network(self.text)}"
            made_with = self.checkpoint_name, self.checkpoint
            callbacks.append(PredictionWriter(self.run.predictions, text_hash(seen), made_with, coarse))
            if config.time_limit is not None:
                callbacks.append(time_limit(config.time_limit))
        return [callback for callback in callbacks if callback is not None]

    def instantiate_classes(self) -> None:
        with own_words():
            super().instantiate_classes()

    def after_instantiate_classes(self) -> None:
        self.model.config = self.model_config

    def before_fit(self) -> None:
        if self.checkpoint is not None:
            self._check_folds()
        print_start(self)
        for logger in self.trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(self.text))

    def before_validate(self) -> None:
        self._check_folds()

    def before_predict(self) -> None:
        if "val" in self.datamodule.predict_split:  # a test set is predicted without folds
            self._check_folds()

    def _check_folds(self) -> None:
        """Before any old prediction is dropped, or the run says that the new folds are its own."""
        if self.datamodule.fold != "all":
            before = read_checkpoint(self.checkpoint).get("folds_hash")
            check_folds(before, None if before is None else self.datamodule.folds_hash(), self.datamodule.folds)


def add_experiment_arguments(parser: LightningArgumentParser) -> None:
    """The keys that training and offline verbs share, beside `data`."""
    parser.add_argument(
        "--experiment", type=str | None, default=None, help="Name of the experiment; by default the config file's."
    )
    parser.add_argument("--runs", type=str, default="runs", help="Folder of all experiments.")
    parser.add_argument(
        "--run_folder", type=str | None, default=None, help="Folder of this run; <runs>/<experiment>/fold<k>."
    )
    parser.add_class_arguments(Competition, "competition")
    parser.add_class_arguments(CrossValidation, "cv")


def shown_to_network(config: str) -> list[Any]:
    """The settings beside checkpoint and inference that predictions depend on; flags may change any of them."""
    content = yaml.safe_load(config)
    of_model = ("network", "outputs", "inputs", "activations")
    of_data = ("reader", "preprocessing", "features")
    keys = [("model", name) for name in of_model] + [("data", name) for name in of_data]
    return [content["data"]["class_path"], *(content[part]["init_args"].get(name) for part, name in keys)]


def with_present_keys(arguments: list[str]) -> list[str]:
    """The arguments with the text of each config that has former keys in place of its path."""
    found = list(arguments)
    for number, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in CONFIG_FLAGS and equals:
            found[number] = f"{flag}={present_text(value)}"
        elif flag in CONFIG_FLAGS and number + 1 < len(arguments):
            found[number + 1] = present_text(arguments[number + 1])
    return found


def present_text(path: str) -> str:
    """The text of a config under the names of today where it has former ones, else its path."""
    content = yaml.safe_load(read_text(path)) if Path(path).is_file() else None
    if not isinstance(content, dict) or (present := accept_former_keys(content)) == content:
        return path
    return to_yaml(present)


def time_limit(text: str) -> PredictionTimeLimit:
    """The callback of `--time_limit`; a wrong limit ends the command."""
    try:
        return PredictionTimeLimit(text)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None


def resolve_monitors(config: Namespace) -> None:
    """The direction of `val/score` is the metric's own; without validation nothing can be monitored."""
    module, _, name = config.competition.metric.class_path.rpartition(".")
    mode = "max" if getattr(import_module(module), name).higher_is_better else "min"
    if config.checkpoint.monitor == "val/score":
        config.checkpoint.mode = mode
    stopping = config.early_stopping
    if stopping is not None and stopping.init_args.monitor == "val/score":
        stopping.init_args.mode = mode
    if config.data.init_args.fold == "all":
        config.checkpoint.monitor, config.checkpoint.save_top_k, config.early_stopping = None, 0, None


def tell_fold(data: Namespace) -> None:
    """Pseudo-labels are those of the fold that is validated: no teacher of theirs has seen its truth."""
    for source in data.external or []:
        own = source.init_args
        if not source.class_path.endswith(".PseudoLabels"):
            continue
        given = (own.fold, own.folds)
        if any(one not in (None, other) for one, other in zip(given, (data.fold, data.folds), strict=True)):
            raise SystemExit(
                f"error: data.external: the pseudo-labels of {own.root} are set to fold {own.fold} of {own.folds}, but "
                f"this run validates fold {data.fold} of {data.folds}; leave their fold and folds out"
            )
        own.fold, own.folds = data.fold, data.folds


def refuse_trained(run: RunFolder) -> None:
    """Do not train over another run's checkpoints."""
    left = sorted(path.name for path in run.checkpoints.glob("*.ckpt"))
    if left:
        raise SystemExit(
            f"error: {run.path} already holds a trained run ({', '.join(left)})\n"
            "  go on with it:  --ckpt_path last\n"
            "  replace it:     --overwrite true\n"
            "  keep both:      --experiment ANOTHER_NAME"
        )


@rank_zero_only
def print_start(cli: CompetitionCLI) -> None:
    """What differs from the first config, what is minimised, which callbacks watch."""
    for line in changes(cli.arguments):
        if not line.startswith("stages: "):
            print(f"changed  {line}")
    print(f"network  {size_of(cli.model.network)}")
    for term in ["the network's own"] if cli.model.loss is None else cli.model.loss.terms_text():
        print(f"loss     {term}")
    print(f"runs to  {cli.run.path}")
    print("watched  " + ", ".join(type(callback).__name__ for callback in cli.trainer.callbacks))


def size_of(network: torch.nn.Module) -> str:
    """Its class and size: `Unet, 1.5 M parameters, 0.4 M of them trained`."""
    counts = [sum(p.numel() for p in network.parameters() if p.requires_grad or not only) for only in (False, True)]
    every, trained = (f"{count / 1e6:.1f} M" if count >= 1e5 else str(count) for count in counts)
    some = f", {trained} of them trained" if counts[0] != counts[1] else ""
    return f"{type(network).__name__}, {every} parameters{some}"


@rank_zero_only
def print_end(cli: CompetitionCLI) -> None:
    """The score, where everything lies, the exact next commands."""
    experiment = cli.run.path.parent
    print()
    if cli.verb == "predict":
        for split in cli.datamodule.predict_splits():
            print(f"predictions of {split}: {cli.run.predictions / Path(split).name}")
        print(f"next:  python cli.py search {experiment}\n       python cli.py submit {experiment}")
        return
    for name, metric in cli.score.competition.metrics().items() if cli.score.latest else ():
        low, high = bootstrap_interval(metric)
        label = f"{name} ({type(metric).__name__})" if name == "score" else name
        images = f"over {len(metric.rows)} images"
        print(f"{cli.verb}: {label} {cli.score.latest[name]:.4f}  [{low:.4f}, {high:.4f}] {images}")
    if cli.verb == "fit" and not cli.score.latest and cli.datamodule.fold != "all":
        print(f"fit: nothing was validated in this session, which ended at step {cli.trainer.global_step}")
    print(f"everything lies in {cli.run.path}: config.yaml, metrics.csv, curves.png, panels/, scores.csv, checkpoints/")
    if cli.verb == "fit":
        kept = main_checkpoint(cli.trainer)
        if kept is not None and kept.best_model_score is not None:
            best = cli.run.checkpoints / Path(kept.best_model_path).name  # Lightning's is absolute
            print(f"best checkpoint: {best} ({float(kept.best_model_score):.4f})")
        print(f"next:  python cli.py predict {cli.run.path}")


def run_verb(verb: str, arguments: list[str]) -> None:
    """Run one training verb; `arguments` is what follows it on the command line."""
    quiet()
    arguments = expand_run(arguments)
    check_order(arguments)
    check_names(arguments)
    stages = stages_given(arguments) if verb == "fit" else None
    if stages is not None and not {"--help", "-h", "--print_config"} & set(arguments):
        print(f"next:  python cli.py predict {run_stages(arguments, stages).path}")
        return
    print_end(CompetitionCLI(verb, arguments))

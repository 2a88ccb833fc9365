"""The loggers of `trainer.logger`, whose failures do not stop a run."""

from typing import Any

from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from compat.jsonargparse import innermost
from loggers.safe_logger import SafeLogger
from loggers.wandb_mode import settle_wandb_mode


def make_loggers(given: Namespace | list[Namespace] | bool | None) -> list[SafeLogger]:
    """Build the loggers of a parsed config; one that fails (as without its library) is skipped with a warning.

    Args:
        given: parsed `trainer.logger`, not instantiated: a class with its `init_args`, a list of these, or a bool.
    """
    if given is None or isinstance(given, bool):
        return []
    loggers = []
    for config in given if isinstance(given, list) else [given]:
        name = config.class_path.rsplit(".", 1)[-1]
        if name == "WandbLogger" and not config.init_args.get("offline"):
            settle_wandb_mode()
        try:
            loggers.append(SafeLogger(build(config)))
        except (Exception, SystemExit) as error:
            cause = innermost(str(error)) or type(error).__name__
            rank_zero_warn(f"{name} cannot be used and is skipped; training continues with metrics.csv: {cause}")
    return loggers


def build(config: Namespace) -> Any:
    """The logger of a `class_path` with its `init_args`."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Logger, "logger")
    return parser.instantiate_classes(Namespace(logger=config)).logger

"""The loggers of `trainer.logger`, none of which can stop a run."""

from typing import Any

from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from compat.jsonargparse import innermost
from loggers.safe_logger import SafeLogger
from loggers.wandb_mode import settle_wandb_mode


def make_loggers(given: Namespace | list[Namespace] | bool | None) -> list[SafeLogger]:
    """Build the loggers of a parsed config; one that cannot be built (its library is missing) is left out, with a
    warning.

    Args:
        given: `trainer.logger` as parsed, not yet instantiated: a class with its `init_args`, several, or a switch.
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
            rank_zero_warn(f"{name} cannot be used and is left out; training goes on with metrics.csv: {cause}")
    return loggers


def build(config: Namespace) -> Any:
    """The logger of a `class_path` with its `init_args`."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Logger, "logger")
    return parser.instantiate_classes(Namespace(logger=config)).logger

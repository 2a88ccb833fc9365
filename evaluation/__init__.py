"""Folds, competition metrics and how sure a score is. `evaluation.<Metric>` are the metrics of `competition.metric`."""

from typing import Any

from compat.former_names import accept_former_names
from evaluation import metrics
from evaluation.metrics import *  # noqa: F403 - what it exports has these names here, too
from evaluation.metrics import __all__ as __all__

accept_former_names()


def __getattr__(name: str) -> Any:
    """A metric of a fork that `evaluation.metrics` holds without an entry in its `__all__`."""
    if not name.startswith("_") and hasattr(metrics, name):
        return getattr(metrics, name)
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")

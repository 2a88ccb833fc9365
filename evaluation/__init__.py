"""Cross-validation folds, competition metrics and score intervals. `competition.metric` takes `evaluation.<Metric>`."""

from typing import Any

from compat.former_names import accept_former_names
from evaluation import metrics
from evaluation.metrics import *  # noqa: F403 - re-exported under the same names
from evaluation.metrics import __all__ as __all__

accept_former_names()


def __getattr__(name: str) -> Any:
    """Return a metric of a fork that is defined in `evaluation.metrics` but missing from its `__all__`."""
    if not name.startswith("_") and hasattr(metrics, name):
        return getattr(metrics, name)
    raise AttributeError(f"module 'evaluation' has no attribute {name!r}")

"""Folds, competition metrics and how sure a score is. `evaluation.<Metric>` are the metrics of `competition.metric`."""

from compat.former_names import accept_former_names
from evaluation.metrics import *  # noqa: F403 - what it exports has these names here, too
from evaluation.metrics import __all__ as __all__

accept_former_names()

"""Folds, competition metrics and how sure a score is."""

from compat.former_names import accept_former_names

accept_former_names()

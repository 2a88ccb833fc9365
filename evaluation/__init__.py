"""Folds, competition metrics and how sure a score is."""

"""Loggers: metrics.csv, and those of `trainer.logger`, whose failures do not stop a run."""

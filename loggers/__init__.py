"""Where metrics go: metrics.csv, and the loggers of `trainer.logger`, none of which can stop a run."""

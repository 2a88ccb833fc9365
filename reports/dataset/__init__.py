"""The page about a dataset, before the first training."""

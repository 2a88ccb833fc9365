"""Combining the predictions of several models: averages, votes, out-of-fold weights, box fusion, duplicates."""

"""Prediction store: arrays of every image on disk, between the network and all later steps."""

from predictions.store import PredictionStore

__all__ = ["PredictionStore"]

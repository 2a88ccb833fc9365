"""The prediction store: arrays of every image on disk, between the network and everything after it."""

from predictions.store import PredictionStore

__all__ = ["PredictionStore"]

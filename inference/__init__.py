"""Prediction of images of any size: tiles, blending, test-time augmentation, volumes."""

from inference.inference import Inference

__all__ = ["Inference"]

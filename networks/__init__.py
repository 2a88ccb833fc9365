"""What smp, timm, torchvision and MONAI lack. Every other network comes by its own class_path."""

from networks.classifier import ImageClassifier

__all__ = ["ImageClassifier"]

"""Whether an image is empty, as a target."""

import numpy as np

from datamodules.targets.base import Target
from masks.void import foreground


class Empty(Target):
    """Image-level target: 1 if a channel of the mask has no foreground, else 0.

    Derived after augmentation, so it describes the crop (SIIM-ACR, 4th place), from its valid pixels.

    Args:
        source: name of a mask `(K, H, W)`, or of instance ids `(H, W)`.
        name: name of the resulting array, float32 `(K,)`.
        foreground: whether to invert the target: 1 if there is foreground.
    """

    def __init__(self, source: str = "mask", name: str = "empty", foreground: bool = False) -> None:
        self.source, self.name, self.foreground = source, name, foreground

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.source not in sample:
            raise ValueError(f"Empty needs {self.source!r}, but the sample has only {sorted(sample)}; set source")
        mask = foreground(sample, self.source)
        channels = mask if mask.ndim == 3 else mask[None]
        filled = channels.reshape(len(channels), -1).any(axis=1)
        return {self.name: (filled if self.foreground else ~filled).astype(np.float32)}

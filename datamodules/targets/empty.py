"""Is there anything in the image?"""

import numpy as np

from datamodules.targets.base import Target
from masks.void import foreground


class Empty(Target):
    """Image-level target: 1 where a channel of the mask has no foreground, else 0.

    It is derived after augmentation, so it tells about the crop (SIIM-ACR, 4th place), of pixels that count.

    Args:
        source: a mask `(K, H, W)`, or instance ids `(H, W)`.
        name: name of the array, float32 `(K,)`.
        foreground: the other way round: 1 where there is something.
    """

    def __init__(self, source: str = "mask", name: str = "empty", foreground: bool = False) -> None:
        self.source, self.name, self.foreground = source, name, foreground

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.source not in sample:
            raise ValueError(f"Empty wants {self.source!r}, the sample holds {sorted(sample)}")
        mask = foreground(sample, self.source)
        channels = mask if mask.ndim == 3 else mask[None]
        filled = channels.reshape(len(channels), -1).any(axis=1)
        return {self.name: (filled if self.foreground else ~filled).astype(np.float32)}

"""Where truth comes from; any target works with any reader."""

from datamodules.targets.base import Target
from datamodules.targets.empty import Empty
from datamodules.targets.foreground import Foreground
from datamodules.targets.instance_folders import InstanceFolders
from datamodules.targets.label_images import LabelImages
from datamodules.targets.mask_files import MaskFiles
from datamodules.targets.run_lengths import RunLengths
from datamodules.targets.touching_borders import TouchingBorders

__all__ = [
    "Empty",
    "Foreground",
    "InstanceFolders",
    "LabelImages",
    "MaskFiles",
    "RunLengths",
    "Target",
    "TouchingBorders",
]

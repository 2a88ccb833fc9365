"""Targets: masks, instances, boxes and labels; any target works with any reader."""

from datamodules.targets.array_files import ArrayFiles
from datamodules.targets.base import Target
from datamodules.targets.boxes import Boxes
from datamodules.targets.coco_keypoints import CocoKeypoints
from datamodules.targets.coco_masks import CocoMasks
from datamodules.targets.colour_masks import ColourMasks
from datamodules.targets.cvat import Cvat
from datamodules.targets.dicom_rtstruct import RtStructures
from datamodules.targets.dicom_seg import DicomSegmentations
from datamodules.targets.empty import Empty
from datamodules.targets.foreground import Foreground
from datamodules.targets.instance_folders import InstanceFolders
from datamodules.targets.label_images import LabelImages
from datamodules.targets.labelme import LabelMe, LabelMeFlags
from datamodules.targets.labels import Labels
from datamodules.targets.long_labels import LongLabels
from datamodules.targets.mask_files import MaskFiles
from datamodules.targets.polygons import Polygons
from datamodules.targets.rasters import RasterMasks
from datamodules.targets.run_lengths import RunLengths
from datamodules.targets.touching_borders import TouchingBorders
from datamodules.targets.volumes import MaskVolumes
from datamodules.targets.yolo import Yolo

__all__ = [
    "ArrayFiles",
    "Boxes",
    "CocoKeypoints",
    "CocoMasks",
    "ColourMasks",
    "Cvat",
    "DicomSegmentations",
    "Empty",
    "Foreground",
    "InstanceFolders",
    "LabelImages",
    "LabelMe",
    "LabelMeFlags",
    "Labels",
    "LongLabels",
    "MaskFiles",
    "MaskVolumes",
    "Polygons",
    "RasterMasks",
    "RtStructures",
    "RunLengths",
    "Target",
    "TouchingBorders",
    "Yolo",
]

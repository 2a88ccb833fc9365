"""From probabilities to a submission. `postprocessing.<Step>` are the steps of `competition.postprocess`."""

from postprocessing.area import MinimumArea
from postprocessing.arg_max import ArgMax
from postprocessing.blobs import Blobs
from postprocessing.clusters import Clusters
from postprocessing.components import ConnectedComponents
from postprocessing.gate import Gate
from postprocessing.holes import FillHoles
from postprocessing.label_threshold import LabelThreshold
from postprocessing.object_score import ObjectScore
from postprocessing.resize import Resize
from postprocessing.step import Step
from postprocessing.threshold import Threshold
from postprocessing.watershed import Watershed

__all__ = [
    "ArgMax",
    "Blobs",
    "Clusters",
    "ConnectedComponents",
    "FillHoles",
    "Gate",
    "LabelThreshold",
    "MinimumArea",
    "ObjectScore",
    "Resize",
    "Step",
    "Threshold",
    "Watershed",
]

"""Post-processing of predictions. `competition.postprocess` takes the steps `postprocessing.<Step>`."""

from compat.former_names import accept_former_names
from postprocessing.area import MinimumArea
from postprocessing.arg_max import ArgMax
from postprocessing.blobs import Blobs
from postprocessing.box_steps import MinimumScore, MultiplyScores, NonMaximumSuppression, ShrinkBoxes
from postprocessing.clusters import Clusters
from postprocessing.components import ConnectedComponents
from postprocessing.dataset_step import DatasetStep
from postprocessing.distance_watershed import DistanceWatershed
from postprocessing.equalize_counts import EqualizeCounts
from postprocessing.gate import Gate
from postprocessing.holes import FillHoles
from postprocessing.hull import ConvexHull
from postprocessing.hysteresis import HysteresisThreshold
from postprocessing.instance_classes import InstanceClasses
from postprocessing.label_threshold import LabelThreshold
from postprocessing.largest import LargestComponents
from postprocessing.match_prior import MatchPrior
from postprocessing.nearest_neighbour import NearestNeighbour
from postprocessing.object_score import ObjectScore
from postprocessing.quantile_threshold import QuantileThreshold
from postprocessing.resize import Resize
from postprocessing.smooth import Smooth
from postprocessing.step import Step
from postprocessing.threshold import Threshold
from postprocessing.triplet_threshold import TripletThreshold
from postprocessing.watershed import Watershed

accept_former_names()

__all__ = [
    "ArgMax",
    "Blobs",
    "Clusters",
    "ConnectedComponents",
    "ConvexHull",
    "DatasetStep",
    "DistanceWatershed",
    "EqualizeCounts",
    "FillHoles",
    "Gate",
    "HysteresisThreshold",
    "InstanceClasses",
    "LabelThreshold",
    "LargestComponents",
    "MatchPrior",
    "MinimumArea",
    "MinimumScore",
    "MultiplyScores",
    "NearestNeighbour",
    "NonMaximumSuppression",
    "ObjectScore",
    "QuantileThreshold",
    "Resize",
    "ShrinkBoxes",
    "Smooth",
    "Step",
    "Threshold",
    "TripletThreshold",
    "Watershed",
]

"""From probabilities to a submission. `postprocessing.<Step>` are the steps of `competition.postprocess`."""

from postprocessing.area import MinimumArea
from postprocessing.components import ConnectedComponents
from postprocessing.holes import FillHoles
from postprocessing.step import Step
from postprocessing.threshold import Threshold
from postprocessing.watershed import Watershed

__all__ = ["ConnectedComponents", "FillHoles", "MinimumArea", "Step", "Threshold", "Watershed"]

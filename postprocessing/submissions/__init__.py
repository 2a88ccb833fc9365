"""Submission files: one class per format, each with its validator."""

from postprocessing.submissions.base import RowError, Submission, SubmissionError
from postprocessing.submissions.boxes import Boxes
from postprocessing.submissions.cells import Cells
from postprocessing.submissions.class_columns import ClassColumns
from postprocessing.submissions.class_polygons import ClassPolygons
from postprocessing.submissions.class_rows import ClassRows
from postprocessing.submissions.class_run_lengths import ClassRunLengths
from postprocessing.submissions.geotiffs import GeoTiffs
from postprocessing.submissions.instance_run_lengths import InstanceRunLengths
from postprocessing.submissions.labels import Labels
from postprocessing.submissions.ordinal import Ordinal
from postprocessing.submissions.points import Points
from postprocessing.submissions.polygons import Polygons
from postprocessing.submissions.run_lengths import RunLengths

__all__ = [
    "Boxes",
    "Cells",
    "ClassColumns",
    "ClassPolygons",
    "ClassRows",
    "ClassRunLengths",
    "GeoTiffs",
    "InstanceRunLengths",
    "Labels",
    "Ordinal",
    "Points",
    "Polygons",
    "RowError",
    "RunLengths",
    "Submission",
    "SubmissionError",
]

"""Submission files: one class per format, each with its validator."""

from submissions.base import RowError, Submission, SubmissionError
from submissions.boxes import Boxes
from submissions.cells import Cells
from submissions.class_columns import ClassColumns
from submissions.class_images import ClassImages
from submissions.class_polygons import ClassPolygons
from submissions.class_rows import ClassRows
from submissions.class_run_lengths import ClassRunLengths
from submissions.coco import Coco
from submissions.geotiffs import GeoTiffs
from submissions.instance_images import InstanceImages
from submissions.instance_run_lengths import InstanceRunLengths
from submissions.labels import Labels
from submissions.ordinal import Ordinal
from submissions.points import Points
from submissions.polygons import Polygons
from submissions.run_lengths import RunLengths

__all__ = [
    "Boxes",
    "Cells",
    "ClassColumns",
    "ClassImages",
    "ClassPolygons",
    "ClassRows",
    "ClassRunLengths",
    "Coco",
    "GeoTiffs",
    "InstanceImages",
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

"""Submission files: one class per format, each with its validator."""

from postprocessing.submissions.base import Submission, SubmissionError
from postprocessing.submissions.geotiffs import GeoTiffs
from postprocessing.submissions.instance_run_lengths import InstanceRunLengths
from postprocessing.submissions.run_lengths import RunLengths

__all__ = ["GeoTiffs", "InstanceRunLengths", "RunLengths", "Submission", "SubmissionError"]

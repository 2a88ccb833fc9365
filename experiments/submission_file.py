"""Path of the submission of an experiment."""

from importlib import import_module
from pathlib import Path


def submission_file(experiment: Path, class_path: str) -> Path:
    """Default output of `submit`, which depends on the format.

    Args:
        experiment: experiment folder.
        class_path: class of the submission format, as in `competition.submission`.
    """
    module, _, name = class_path.rpartition(".")
    return experiment / getattr(import_module(module or "submissions"), name).file_name

"""Private parts and messages of torch 2.14. torch has no upper bound: each part is checked where it is used, and an
error names the supported version.

torch is imported on demand only, as the command line reads worker errors without it.
"""

import re
from typing import NamedTuple

WORKER = re.compile(r"Caught (\w+) in DataLoader worker process \d+\.\nOriginal Traceback")


class WorkerError(NamedTuple):
    """An error of a DataLoader worker, sent as text."""

    file: str
    line: int
    code: str  # of that line
    message: str


def worker_error(text: str) -> WorkerError | None:
    """Location and message of an error in a DataLoader worker; None for other errors."""
    worker = WORKER.match(text)
    places = list(re.finditer(r'^  File "(.+)", line (\d+), in .+\n(.*)$', text, re.MULTILINE))
    if worker is None or not places:
        return None
    start = re.search(rf"^(?:\w+\.)*{worker[1]}: ", text[places[-1].end() :], re.MULTILINE)
    if start is None:
        return None
    file, line, code = places[-1].groups()
    return WorkerError(file, int(line), code, text[places[-1].end() + start.end() :].strip())


def is_batch_norm(module: object) -> bool:
    """Whether a module is a BatchNorm of any dimension; `update_bn` of torch checks the same private base class."""
    import torch
    from torch.nn.modules import batchnorm

    base = getattr(batchnorm, "_BatchNorm", None)
    if base is None:
        raise RuntimeError(
            f"torch {torch.__version__} has no torch.nn.modules.batchnorm._BatchNorm, needed to detect BatchNorm; "
            "install torch 2.14 or adapt compat/torch.py"
        )
    return isinstance(module, base)


def lacks_length(error: ValueError) -> bool:
    """Whether a scheduler requires the number of steps (`OneCycleLR`)."""
    return "total_steps" in str(error)


def needs_more_values(error: ValueError) -> bool:
    """Whether a BatchNorm rejects a batch with one value per channel."""
    return "more than 1 value per channel" in str(error)

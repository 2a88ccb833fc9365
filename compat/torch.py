"""Private parts of torch and what it says, as they are in 2.14. torch has no upper bound: each part is checked where it
is used, and an error says what it was written for.

Nothing here imports torch before it is called: the command line reads a worker's error without it.
"""

import re
from typing import NamedTuple

WORKER = re.compile(r"Caught (\w+) in DataLoader worker process \d+\.\nOriginal Traceback")


class WorkerError(NamedTuple):
    """An error that a loader's worker has sent as text."""

    file: str
    line: int
    code: str  # of that line
    message: str


def worker_error(text: str) -> WorkerError | None:
    """Where an error arose in a loader's worker, and its own message; None for what is no such error."""
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
    """Whether a module is a batch norm of any dimension; torch's own `update_bn` looks for the same private base."""
    import torch
    from torch.nn.modules import batchnorm

    base = getattr(batchnorm, "_BatchNorm", None)
    if base is None:
        raise RuntimeError(
            f"torch {torch.__version__} has no torch.nn.modules.batchnorm._BatchNorm, by which batch norms are told; "
            "this was written for torch 2.14, take that or mend compat/torch.py"
        )
    return isinstance(module, base)


def lacks_length(error: ValueError) -> bool:
    """Whether a scheduler refuses to be built without the number of steps (`OneCycleLR`)."""
    return "total_steps" in str(error)


def needs_more_values(error: ValueError) -> bool:
    """Whether a batch norm refuses a batch of one value per channel."""
    return "more than 1 value per channel" in str(error)

"""Run folders, configs, checkpoints on disk, stages, cross-validation members and studies.

`from experiments import load` loads a trained run as a plain function.
"""

from typing import Any

from compat.former_names import accept_former_names

accept_former_names()


def __getattr__(name: str) -> Any:
    # Imported on demand: `python cli.py run` starts other processes and does not need torch itself.
    if name == "load":
        from experiments.loading import load

        return load
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")

"""Run folders, the training command line, offline verbs and the chain of one config.

`from experiments import load` gives a trained run as a plain function.
"""

from typing import Any

from compat.former_names import accept_former_names

accept_former_names()


def __getattr__(name: str) -> Any:
    # Only on demand: `python cli.py run` starts other processes and needs no torch of its own.
    if name == "load":
        from experiments.loading import load

        return load
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")

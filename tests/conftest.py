"""Fixtures shared by all tests."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The same examples in every run: a test that passed once passes in everybody's fork. `HYPOTHESIS_PROFILE=search` draws
# new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Processes beside each other share the cores, and so do the commands that tests start.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))


# Files whose tests start processes and train for minutes: first, so that no process is left alone with one at the end.
LONG = ("test_ranks.py", "test_layouts.py", "test_tasks.py", "test_cli.py", "test_configs.py", "test_stages.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws without a seed of its own is the same in every run, too."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that libraries use
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def competition_data() -> Path:
    """Folder with real competition files (`$COMPETITION_DATA`, else `../shared/data`); tests skip without it."""
    root = Path(os.environ.get("COMPETITION_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data: {root} is not there; set COMPETITION_DATA to the folder that holds it")
    return root

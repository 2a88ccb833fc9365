"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def competition_data() -> Path:
    """Folder with real competition files (`$COMPETITION_DATA`, else `../shared/data`); tests skip without it."""
    root = Path(os.environ.get("COMPETITION_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data: {root} is not there; set COMPETITION_DATA to the folder that holds it")
    return root

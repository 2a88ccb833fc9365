"""Fixtures shared by the tests of readers and tables."""

import numpy as np
import pytest


@pytest.fixture
def ramp() -> np.ndarray:
    return np.linspace(0, 4095, 16 * 24).astype(np.uint16).reshape(16, 24)

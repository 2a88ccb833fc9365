"""The whole site, its tutorials run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_tutorials_run(tmp_path):
    pytest.importorskip("myst_nb")
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", str(tmp_path / "trees"), str(ROOT / "docs")]
    built = subprocess.run(
        [*command, str(tmp_path / "site")],
        env=os.environ | {"TUTORIALS": "force"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    quickstart = (tmp_path / "site/tutorials/quickstart.html").read_text()
    assert "submission.csv" in quickstart
    assert quickstart.count("<img") >= 2  # curves and a panel
    steps = (tmp_path / "site/tutorials/step_by_step.html").read_text()
    assert steps.count("<img") >= 3  # curves, a panel, the search

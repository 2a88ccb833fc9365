"""Sphinx configuration; `sphinx-build -W docs build/docs` builds the site. Tutorials: see `nb_execution_mode`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["REPOSITORY"] = str(ROOT)  # location of cli.py and configs/ for the tutorials

from docs.generate import write  # noqa: E402

project = "Lightning competition template"
author = "The contributors"
copyright = "the contributors, MIT licence"
extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["generate", "README.md"]

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist", "linkify"]
myst_linkify_fuzzy_links = False  # `cli.py` is a file, not a URL (.py is a top-level domain)
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # results of benchmarks start at any heading level

# TUTORIALS=cache (`just docs`) runs changed tutorials, =force (the docs job of CI) all of them; it takes minutes.
nb_execution_mode = os.environ.get("TUTORIALS", "off")
nb_execution_timeout = 3600  # seconds per cell; the slowest takes two minutes on two idle cores
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True
copybutton_exclude = ".linenos, .go, .gp"  # copy examples without prompts and output

linkcheck_ignore = [r"https://www\.kaggle\.com/.*"]  # rejects automated requests
linkcheck_timeout = 30
linkcheck_retries = 2
linkcheck_workers = 4


def setup(app) -> None:
    app.connect("builder-inited", lambda _: write(ROOT / "docs" / "generated"))

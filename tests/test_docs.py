"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs/tips.md").read_text().splitlines() if re.match(r"\| [A-Z]\d\d", line)]


def test_tests_of_all_tips_exist():
    missing = []
    for row in ROWS:
        folder = "tests"
        for name in re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", row):
            path = name if name.startswith("tests/") else f"{folder}/{name}"  # a bare name lies beside the one before
            folder = str(Path(path).parent)
            if not (ROOT / path).is_file():
                missing.append(f"{row[:12]}: {path}")
    assert not missing, missing


def test_no_tip_has_two_rows():
    names = [name for row in ROWS for name in row.split("|")[1].replace(" ", "").split(",")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("document", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_named_configs_exist(document):
    named = set(re.findall(r"configs/[\w/]+\.yaml", (ROOT / document).read_text()))
    assert not [name for name in named if not (ROOT / name).is_file()]

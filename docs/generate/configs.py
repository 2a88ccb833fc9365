"""The page of the shipped configs: the head comment of each, and the file."""

import re
from pathlib import Path

from docs.generate.objects import ROOT

FOLDERS = {
    "configs": ("Competitions", "One complete config per competition; start from the most similar one."),
    "configs/presets": ("Presets", "Overlays, passed as a second `--config` after the competition's."),
    "configs/stages": ("Stages", "Training stages of winning solutions, passed as a second `--config`."),
}


def page() -> str:
    """Return the page of all YAML files under `configs/`."""
    lines = ["# Configs"]
    for folder, (title, about) in FOLDERS.items():
        lines += ["", f"## {title}", "", about]
        for file in sorted((ROOT / folder).glob("*.yaml")):
            lines += ["", f"### {file.stem}", "", *head(file), "", f":::{{dropdown}} `{file.relative_to(ROOT)}`"]
            lines += ["```yaml", file.read_text().rstrip(), "```", ":::"]
    return "\n".join(lines) + "\n"


def head(file: Path) -> list[str]:
    """Return the head comment of a config as Markdown; indented lines are commands."""
    comment = []
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").removeprefix(" ").rstrip())
    lines: list[str] = []
    for part in re.split(r"\n\s*\n", "\n".join(comment)):
        commands = all(line.startswith("  ") for line in part.splitlines())
        lines += (
            ["```bash", *(line.strip() for line in part.splitlines()), "```", ""] if commands else [plain(part), ""]
        )
    return lines[:-1]


def plain(text: str) -> str:
    """Escape globs and placeholders outside backticks in a comment, so that Markdown shows them as they are."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]{}])", r"\\\1", part) for part in parts)

"""The shipped configs: what the comment at the head of each says, and the file."""

import re
from pathlib import Path

from docs.generate.objects import ROOT

FOLDERS = {
    "configs": ("Competitions", "A complete config for each; start a new one from the nearest."),
    "configs/presets": ("Presets", "Overlays for a second `--config`, after the competition's."),
    "configs/stages": ("Stages", "Winners' chains of trainings, for a second `--config`."),
}


def page() -> str:
    """Every YAML under `configs/`."""
    lines = ["# Configs"]
    for folder, (title, about) in FOLDERS.items():
        lines += ["", f"## {title}", "", about]
        for file in sorted((ROOT / folder).glob("*.yaml")):
            lines += ["", f"### {file.stem}", "", *head(file), "", f":::{{dropdown}} `{file.relative_to(ROOT)}`"]
            lines += ["```yaml", file.read_text().rstrip(), "```", ":::"]
    return "\n".join(lines) + "\n"


def head(file: Path) -> list[str]:
    """The comment that a config begins with; its indented lines are commands."""
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
    """A comment as Markdown: globs and placeholders outside of backticks are no emphasis and no tags."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]{}])", r"\\\1", part) for part in parts)

"""The verbs of the command line, from the help that each prints."""

import contextlib
import io
import os
import re
import sys
from unittest.mock import patch

import cli

# Keys of the config have a page of their own; with what every verb has they would hide the few options of a verb.
EVERYWHERE = re.compile(
    r"-h, |--(data|model|trainer|competition|cv|checkpoint)\b|.*--(config|print_config)\b|--[\w.]+\.help\b"
)


def page() -> str:
    """Every verb: what it does, how it is called, its own options."""
    lines = [
        "# Verbs",
        "",
        "What `python cli.py VERB --help` prints, without the keys of the config, which are flags too",
    ]
    lines += ["([](keys.md)).", "", "| verb | does |", "|---|---|"]
    lines += [f"| [`{verb}`](#verb-{verb}) | {line} |" for verb, line in cli.VERBS.items()]
    for verb, line in cli.VERBS.items():
        lines += ["", f"(verb-{verb})=", f"## {verb}", "", f"{line[0].upper()}{line[1:]}.", ""]
        lines += ["```text", own_options(help_text(verb)), "```"]
    return "\n".join(lines) + "\n"


def help_text(verb: str, *flags: str) -> str:
    """What a verb prints for `--help`, beside these flags."""
    printed = io.StringIO()
    with (
        patch.dict(os.environ, {"COLUMNS": "100"}),
        patch.object(sys, "argv", ["cli.py", verb, "--help"]),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        cli.main([verb, "--help", *flags])
    return printed.getvalue().removeprefix(f"{verb}: {cli.VERBS[verb]}").strip()


def own_options(text: str) -> str:
    """A help text without the options that every verb has or that are keys of the config, nor groups left empty."""
    kept = []
    for paragraph in text.split("\n\n"):
        parts = blocks(paragraph)
        own = [part for part in parts if not (part[0].startswith("  -") and EVERYWHERE.match(part[0].strip()))]
        if len(own) == len(parts) or any(part[0].startswith("  ") for part in own):
            kept.append("\n".join(line for part in own for line in part))
    return "\n\n".join(kept).strip()


def blocks(paragraph: str) -> list[list[str]]:
    """The lines of a paragraph, an option together with the indented lines that describe it."""
    found: list[list[str]] = []
    for line in paragraph.splitlines():
        if found and found[-1][0].startswith("  -") and line.startswith("   "):
            found[-1].append(line)
        else:
            found.append([line])
    return found

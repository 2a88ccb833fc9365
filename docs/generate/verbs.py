"""The reference page of the verbs, from their help texts."""

import contextlib
import io
import os
import re
import sys
from unittest.mock import patch

import cli

# Config keys have their own page; with common options they would hide the few options specific to a verb.
EVERYWHERE = re.compile(
    r"-h, |--(data|model|trainer|competition|cv|checkpoint)\b|.*--(config|print_config)\b|--[\w.]+\.help\b"
)


def page() -> str:
    """Return the page of all verbs, with usage and specific options."""
    lines = [
        "# Verbs",
        "",
        "Output of `python cli.py VERB --help`, without the config keys, which are also flags",
    ]
    lines += ["([](keys.md)).", "", "| verb | description |", "|---|---|"]
    lines += [f"| [`{verb}`](#verb-{verb}) | {line} |" for verb, line in cli.VERBS.items()]
    for verb, line in cli.VERBS.items():
        lines += ["", f"(verb-{verb})=", f"## {verb}", "", f"{line[0].upper()}{line[1:]}.", ""]
        lines += ["```text", own_options(help_text(verb)), "```"]
    return "\n".join(lines) + "\n"


def help_text(verb: str, *flags: str) -> str:
    """Return the output of a verb for `--help` and the given flags."""
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
    """Remove common options, config keys and empty groups from a help text."""
    kept = []
    for paragraph in text.split("\n\n"):
        parts = blocks(paragraph)
        own = [part for part in parts if not (part[0].startswith("  -") and EVERYWHERE.match(part[0].strip()))]
        if len(own) == len(parts) or any(part[0].startswith("  ") for part in own):
            kept.append("\n".join(line for part in own for line in part))
    return "\n\n".join(kept).strip()


def blocks(paragraph: str) -> list[list[str]]:
    """Split a paragraph into lines, with an option and its indented description as one block."""
    found: list[list[str]] = []
    for line in paragraph.splitlines():
        if found and found[-1][0].startswith("  -") and line.startswith("   "):
            found[-1].append(line)
        else:
            found.append([line])
    return found

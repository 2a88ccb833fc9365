"""Findings of a report on the terminal."""

from reports.page import Report


def print_findings(report: Report) -> None:
    """The findings as plain lines, problems first."""
    import re
    from html import unescape

    levels = ("problem", "look", "note")
    for finding in sorted(report.findings, key=lambda finding: levels.index(finding.level)):
        print(f"{finding.level:<8} {unescape(re.sub('<[^>]+>', '', finding.text))}")

"""Findings of a report on the terminal."""

from reports.page import Report, unmarked


def print_findings(report: Report) -> None:
    """The findings as plain lines, problems first."""
    for finding in report.ordered():
        print(f"{finding.level:<8} {unmarked(finding.text)}")

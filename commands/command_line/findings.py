"""Print the findings of a report on the terminal."""

from reports.page import Report, unmarked


def print_findings(report: Report) -> None:
    """Print one line per finding, problems first."""
    for finding in report.ordered():
        print(f"{finding.level:<8} {unmarked(finding.text)}")

"""The verb `explore`: the report of a dataset before the first training."""

from pathlib import Path
from typing import Any

from commands.command_line.config import read_config
from commands.command_line.findings import print_findings
from commands.command_line.training import Parser
from exploration.shift import compare_files
from reports.page import Finding, Report

# --- explore ---------------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Write the report of a dataset, or compare the labels of two CSVs."""
    if any(argument.split("=")[0] == "--labels" for argument in arguments):
        compare_labels(arguments)
        return

    def options(parser: Any) -> None:
        labels = "Two CSVs of labels alone are compared without a config: python cli.py explore --help --labels"
        parser.add_argument("--labels", type=str | None, default=None, help=labels)
        parser.add_argument("--output", type=str | None, default=None, help="Folder; <runs>/<experiment>/explore.")
        parser.add_argument("--limit", type=int | None, default=None, help="Look at so many images of each split.")
        parser.add_argument("--processes", type=int | None, default=None, help="Worker processes; one per CPU.")
        parser.add_argument("--samples", type=int, default=20, help="Pictures in the grid of each split.")
        parser.add_argument(
            "--correlation", type=float, default=0.95, help="Least correlation of each channel of near duplicates."
        )

    config = read_config("explore", arguments, options)
    from reports.dataset.explore import explore

    chosen = config.options
    output = Path(chosen.output or config.experiment / "explore")
    name, near = config.experiment.name, chosen.correlation
    try:
        found = explore(config.data, output, name, chosen.limit, chosen.processes, chosen.samples, near)
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from error
    print_findings(found.report)
    print(f"the report: {found.path}; tables: {output / 'images.csv'}, {output / 'duplicates.csv'}")


def compare_labels(arguments: list[str]) -> None:
    """`explore --labels train.csv --reference test.csv --label_column Target`: no config and no images are needed."""
    parser = Parser(prog="python cli.py explore", description="compare the labels of two CSV files")
    parser.add_argument("--labels", type=str, required=True, help="CSV of the training labels.")
    parser.add_argument("--reference", type=str, required=True, help="CSV to compare with: test, tuning set, a site.")
    parser.add_argument("--label_column", type=str, required=True, help="Column of the labels in both.")
    parser.add_argument("--separator", type=str | None, default=None, help="Between the labels of one field.")
    parser.add_argument(
        "--id_column", type=str | None, default=None, help="Column of the sample's id, where a CSV has a row per label."
    )
    parser.add_argument("--output", type=str | None, default=None, help="Folder for report.html and shift.csv.")
    chosen = parser.parse_args(arguments)
    try:
        shift = compare_files(chosen.labels, chosen.reference, chosen.label_column, chosen.separator, chosen.id_column)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    for sentence in shift.sentences:
        print(sentence)
    if shift.marginals_p is not None:
        print(f"all class counts together: chi-square p {shift.marginals_p:.3g}")
    if chosen.output is None:
        return

    from reports.dataset.comparisons import add_shift

    output = Path(chosen.output)
    output.mkdir(parents=True, exist_ok=True)
    lead = f"`{chosen.labels}` against `{chosen.reference}`."
    report = Report(f"Shift of {chosen.label_column}", lead, output)
    report.section("Labels")
    add_shift(report, shift)
    report.findings += [Finding("look" if shift.shifted else "note", text) for text in shift.sentences]
    report.write("shift.csv", shift.rows.to_csv(index=False).encode())
    report.save(output / "report.html")
    print(f"the report: {output / 'report.html'}; table: {output / 'shift.csv'}")


# --- suggest ---------------------------------------------------------------------------------------------------------

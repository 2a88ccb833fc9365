"""The verb `explore`: report on a dataset before the first training."""

from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from commands.command_line.findings import print_findings
from commands.command_line.parser import parse_options
from exploration.shift import compare_files
from reports.page import Finding, Report


@dataclass
class Options:
    """Options of `explore`.

    Args:
        labels: Label CSV to compare with another CSV, without a config; see python cli.py explore --labels --help
        output: Output folder; by default, <runs>/<experiment>/explore.
        limit: Maximum number of images per split; by default, all.
        processes: Number of worker processes; by default, one per CPU.
        samples: Number of sample images shown per split.
        correlation: Minimum correlation of every channel of near duplicates.
        augmented: Whether to draw only train_batch.png, a training batch after augmentation, without training.
    """

    labels: str | None = None
    output: str | None = None
    limit: int | None = None
    processes: int | None = None
    samples: int = 20
    correlation: float = 0.95
    augmented: bool = False


@dataclass
class LabelOptions:
    """Options of `explore --labels`.

    Args:
        labels: CSV of the training labels.
        reference: CSV of the reference labels: test set, tuning set or another site.
        label_column: Label column in both files.
        separator: Separator of several labels in a field; by default, a field is one label.
        id_column: Sample id column, if a CSV has one row per label.
        output: Output folder of report.html and shift.csv; by default, not written.
    """

    labels: str
    reference: str
    label_column: str
    separator: str | None = None
    id_column: str | None = None
    output: str | None = None


def main(arguments: list[str]) -> None:
    """Write the report on a dataset, or compare the labels of two CSVs."""
    line = CommandLine.read(arguments)
    flags = {flag.key: flag.value for flag in line.settings.flags}
    if "labels" in flags:
        compare_labels(arguments)
        return
    if str(flags.get("augmented")).lower() == "true":
        draw_augmented(line)
        return
    config = read_config("explore", arguments, Options)
    from reports.dataset.explore import explore

    chosen = config.options
    output = Path(chosen.output or config.experiment / "explore")
    name, near = config.experiment.name, chosen.correlation
    try:
        found = explore(config.data, output, name, chosen.limit, chosen.processes, chosen.samples, near)
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from error
    print_findings(found.report)
    print(f"report: {found.path}; tables: {output / 'images.csv'}, {output / 'duplicates.csv'}")


def draw_augmented(line: CommandLine) -> None:
    """`explore --augmented`: needs torch, but neither the network nor its weights."""
    from callbacks.train_batch import draw_batch
    from commands.command_line.augmented import augmented_batch, without_model

    config = read_config("explore", without_model(line), Options, loaders=True)
    batch, model = augmented_batch(config.data, line)
    output = Path(config.options.output or config.experiment / "explore") / "train_batch.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_batch(output, batch, model.input_range, model.inputs, config.data.class_names or [], config.options.samples)
    print(f"drawn: {output}")


def compare_labels(arguments: list[str]) -> None:
    """`explore --labels train.csv --reference test.csv --label_column Target`: needs no config and no images."""
    takes = "--labels CSV --reference CSV --label_column NAME [--key value …]"
    chosen = parse_options("explore", arguments, LabelOptions, takes, "Compare the labels of two CSV files.")
    try:
        shift = compare_files(chosen.labels, chosen.reference, chosen.label_column, chosen.separator, chosen.id_column)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    for sentence in shift.sentences:
        print(sentence)
    if shift.marginals_p is not None:
        print(f"all class counts: chi-square p {shift.marginals_p:.3g}")
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
    print(f"report: {output / 'report.html'}; table: {output / 'shift.csv'}")

"""Training verbs on an experiment folder: one process per fold."""

from commands.command_line.command_line import CommandLine
from experiments.processes import children_end_with_us, launch
from experiments.run_folder import RunFolder


def runs_of(arguments: list[str]) -> list[RunFolder]:
    """The runs of the experiment folder given as first argument; empty for a run folder or a config."""
    paths = CommandLine.read(arguments).paths
    if not paths or RunFolder(paths[0]).config.is_file():
        return []
    return [RunFolder(path) for path in sorted(RunFolder(paths[0]).path.glob("*/")) if (path / "config.yaml").is_file()]


def main_of_folds(verb: str, arguments: list[str]) -> None:
    """Run a training verb; for an experiment folder, once per run.

    Raises:
        SystemExit: with the status of the first failed process.
    """
    runs = runs_of(arguments)
    if not runs:
        from commands.command_line.training import (
            run_verb,
        )  # imported on demand: for several folds, only their processes need torch

        run_verb(verb, arguments)
    with children_end_with_us():
        for run in runs:
            command = [verb, str(run.path), *CommandLine.read(arguments).settings.arguments()]
            print("$ python cli.py " + " ".join(command), flush=True)
            status = launch(command)
            if status:
                raise SystemExit(status)

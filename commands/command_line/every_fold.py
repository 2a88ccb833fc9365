"""The training verbs of an experiment folder: once for each fold, in processes of their own."""

from commands.command_line.command_line import CommandLine
from experiments.processes import children_end_with_us, launch
from experiments.run_folder import RunFolder


def runs_of(arguments: list[str]) -> list[RunFolder]:
    """The runs of the experiment folder that the arguments begin with; none of a run folder or a config."""
    paths = CommandLine.read(arguments).paths
    if not paths or RunFolder(paths[0]).config.is_file():
        return []
    return [RunFolder(path) for path in sorted(RunFolder(paths[0]).path.glob("*/")) if (path / "config.yaml").is_file()]


def main_of_folds(verb: str, arguments: list[str]) -> None:
    """Run a training verb, of an experiment folder once for each of its runs.

    Raises:
        SystemExit: with the status of the first process that failed.
    """
    runs = runs_of(arguments)
    if not runs:
        from commands.command_line.training import run_verb  # each fold's own process imports torch

        run_verb(verb, arguments)
    with children_end_with_us():
        for run in runs:
            command = [verb, str(run.path), *CommandLine.read(arguments).settings.arguments()]
            print("$ python cli.py " + " ".join(command), flush=True)
            status = launch(command)
            if status:
                raise SystemExit(status)

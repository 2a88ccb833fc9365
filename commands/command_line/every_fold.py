"""Training verbs on an experiment folder: one process per fold."""

from commands.command_line.command_line import CommandLine
from experiments.processes import launch, terminate_children_on_exit
from experiments.run_folder import fold_runs


def main_of_folds(verb: str, arguments: list[str]) -> None:
    """Run a training verb; for an experiment folder, once per run.

    Raises:
        SystemExit: with the status of the first failed process, or if several folders are given.
    """
    line = CommandLine.read(arguments)
    folder = line.folder()
    runs = [] if folder is None else fold_runs(folder)
    if [run.path for run in runs] in ([], [folder]):
        # Imported on demand: for several folds, only their processes need torch.
        from commands.command_line.training import run_verb

        run_verb(verb, arguments)
        return
    with terminate_children_on_exit():
        for run in runs:
            command = [verb, str(run.path), *line.settings.arguments()]
            print("$ python cli.py " + " ".join(command), flush=True)
            status = launch(command)
            if status:
                raise SystemExit(status)

"""Experiments derived from the predictions of others, written by `ensemble` and `stack`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensembling.members import Member
from experiments.fold_stores import Missing, check_folds_there
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.writing import write_yaml


class DerivedExperiment:
    """An experiment with a single run, which search, score and submit treat as a fold.

    Args:
        folder: experiment folder.
        run: name of the run.
        members: experiments it is derived from.
        config: YAML file copied as its config.

    Raises:
        ValueError: if the folder contains a member or a trained run.
    """

    def __init__(self, folder: Path, run: str, members: Sequence[Member], config: Path) -> None:
        self.folder, self.run, self.members, self.config = folder, RunFolder(folder / run), members, config
        for member in members:
            if folder.resolve() == member.path.resolve() or folder.resolve() in member.path.resolve().parents:
                raise ValueError(f"--output {folder} contains the member {member.path}; give another folder")
        trained = [path.parent.name for path in folder.glob("*/config.yaml") if path.parent.name != run]
        if trained or (folder / "config.yaml").is_file():
            raise ValueError(
                f"--output {folder} contains a trained run ({', '.join(trained) or folder.name}); give another folder"
            )

    def note_old_chain(self) -> None:
        """Print a note if searched post-processing was tuned on earlier predictions of the experiment."""
        searched = self.folder / "searched.yaml"
        if searched.is_file():
            print(f"{searched} was tuned on earlier predictions: run search again, or delete it")

    def save(self, facts: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Write the facts of the experiment, then its config, which marks the folder as a run.

        Args:
            facts: facts for `run.json`, besides the members and the hash of their folds.
            changes: `competition` keys that differ from the config.
        """
        first = next((RunFolder(path) for member in self.members for path in member.runs), None)
        known = first.read_facts().get("folds_hash") if first is not None else None
        own = {"members": [str(member.path) for member in self.members], **facts, "state": "finished"}
        self.run.write_facts(**own, **({"folds_hash": known} if known is not None else {}))
        content = read_yaml(self.config) | {"experiment": self.folder.name, "runs": str(self.folder.parent)}
        if changes:
            content["competition"] = content["competition"] | dict(changes)
        write_yaml(self.run.config, content)

    def print_next(self) -> None:
        """Print the next commands."""
        print(f"next:  python cli.py search {self.folder}\n       python cli.py submit {self.folder}")


def config_of(members: Sequence[Member]) -> Path | None:
    """Config of the first member that has one; None without members.

    Raises:
        ValueError: if no member has a config.
    """
    for member in members:
        for run in member.runs:
            return run / "config.yaml"
    if members:
        raise ValueError(f"{members[0].path} contains predictions but no config.yaml; give --config FILE")
    return None


def check_members(members: Sequence[Member], missing: Missing) -> None:
    """Reject experiments with missing folds; single runs are accepted."""
    for member in members:
        runs = [RunFolder(path) for path in member.runs]
        if [run.path for run in runs] != [member.path]:
            check_folds_there(member.path, runs, missing)

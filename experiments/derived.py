"""Experiments that are made of others' predictions: `ensemble` and `stack` write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensembling.members import Member
from experiments.fold_stores import Missing, check_folds_there
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.writing import write_yaml


class DerivedExperiment:
    """An experiment with one run, which search, score and submit find as a fold.

    Args:
        folder: of the experiment.
        run: name of its one run.
        members: the models that it is made of.
        config: YAML file whose copy becomes its config.

    Raises:
        ValueError: the folder holds a member, or a run that was trained.
    """

    def __init__(self, folder: Path, run: str, members: Sequence[Member], config: Path) -> None:
        self.folder, self.run, self.members, self.config = folder, RunFolder(folder / run), members, config
        for member in members:
            if folder.resolve() == member.path.resolve() or folder.resolve() in member.path.resolve().parents:
                raise ValueError(f"--output {folder} holds the member {member.path}; name another folder")
        trained = [path.parent.name for path in folder.glob("*/config.yaml") if path.parent.name != run]
        if trained or (folder / "config.yaml").is_file():
            raise ValueError(
                f"--output {folder} holds a trained run ({', '.join(trained) or folder.name}); name another"
            )

    def note_old_chain(self) -> None:
        """Say that a chain was tuned on what the experiment predicted before."""
        searched = self.folder / "searched.yaml"
        if searched.is_file():
            print(f"{searched} was tuned on other predictions: run search again, or delete it")

    def save(self, facts: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Write what the experiment is made of, and its config last: without one it is no run.

        Args:
            facts: for `run.json`, beside the members and the hash of their folds.
            changes: keys of `competition` that differ from the config's.
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
        """The next commands."""
        print(f"next:  python cli.py search {self.folder}\n       python cli.py submit {self.folder}")


def config_of(members: Sequence[Member]) -> Path | None:
    """The config of the first member that has one; None without members.

    Raises:
        ValueError: the members hold predictions alone.
    """
    for member in members:
        for run in member.runs:
            return run / "config.yaml"
    if members:
        raise ValueError(f"{members[0].path} holds predictions and no config.yaml; give --config FILE")
    return None


def check_members(members: Sequence[Member], missing: Missing) -> None:
    """Refuse experiments that lack some of their folds; a run that was named is all that is asked for."""
    for member in members:
        runs = [RunFolder(path) for path in member.runs]
        if [run.path for run in runs] != [member.path]:
            check_folds_there(member.path, runs, missing)

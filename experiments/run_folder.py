"""Files of a run, and how later verbs find them."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from files.texts import read_json
from files.writing import write_json
from preprocessing.sources import LAST, find_checkpoint


class RunFolder:
    """`runs/<experiment>/fold<k>/`: config, metrics, checkpoints and predictions of one run.

    Args:
        path: run folder; it may not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.facts = self.path / "run.json"
        self.folds = self.path / "folds.csv"
        self.checkpoints = self.path / "checkpoints"
        self.predictions = self.path / "predictions"
        self.checkpoint_file = self.checkpoints / "last.ckpt"
        self.stages = self.path / "stages.json"

    def check_writable(self) -> None:
        """Check that the folder is writable, to fail before the first epoch.

        Raises:
            SystemExit: if the folder is not writable.
        """
        for folder in (self.path, self.checkpoints) if self.checkpoints.exists() else (self.path,):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise SystemExit(
                    f"error: cannot write to the run folder {folder}: {error.strerror}; set --runs to another folder"
                ) from None

    def checkpoint(self, name: str) -> Path:
        """Checkpoint file of `best`, `last` or a path; see `find_checkpoint`.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
        """
        if name not in ("best", "last"):
            if not Path(name).is_file():
                raise FileNotFoundError(
                    f"--ckpt_path {name}: file not found; give `best`, `last` or the path of a checkpoint"
                )
            return Path(name)
        found = find_checkpoint(self.path, name)
        if found is not None:
            return found
        raise FileNotFoundError(
            f"--ckpt_path {name}: no checkpoint in {self.checkpoints}; train first: python cli.py fit --config …"
        )

    def remove_leftovers(self) -> None:
        """Delete temporary files of a training that was killed."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob("*.tmp"):
                path.unlink(missing_ok=True)

    def last_checkpoints(self) -> list[Path]:
        """`last.ckpt` and the one before it, newest first; only existing files."""
        return [path for name in LAST if (path := self.checkpoints / name).is_file()]

    def write_facts(self, **facts: Any) -> None:
        """Add facts about the run (commit, folds hash, state) to `run.json` atomically."""
        write_json(self.facts, self.read_facts() | facts)

    def read_facts(self) -> dict[str, Any]:
        """Facts in `run.json`, or an empty dict."""
        return read_json(self.facts) if self.facts.is_file() else {}

    def has_begun(self) -> bool:
        """Whether there is a training that `--ckpt_path last` resumes."""
        return bool(self.last_checkpoints()) or self.stages.is_file()

    def is_finished(self) -> bool:
        """Whether the training is finished."""
        return self.read_facts().get("state") == "finished"


def fold_name(fold: int | str) -> str:
    """Folder name of a fold: `fold0`; `all` for a run on all images, `given` for a given split."""
    return str(fold) if fold in ("all", "given") else f"fold{fold}"


def fold_runs(experiment: Path | str) -> list[RunFolder]:
    """Trained runs in an experiment folder, or the run itself for a run folder.

    Raises:
        FileNotFoundError: if there is no trained run.
    """
    experiment = Path(experiment)
    if (experiment / "config.yaml").is_file():
        return [RunFolder(experiment)]
    runs = [RunFolder(path) for path in sorted(experiment.glob("*/")) if (path / "config.yaml").is_file()]
    if not runs:
        raise FileNotFoundError(f"{experiment} contains no run (no config.yaml there or one level below); train first")
    return runs


def git_commit() -> str | None:
    """Commit of the code, with `+changes` if files differ from it; None outside a git checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None

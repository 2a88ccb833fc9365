"""Leakage checks of pseudo-labels: a teacher must not be trained on the validation fold."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.texts import read_json

PSEUDO = "PseudoLabels"


def config_of(run: RunFolder) -> dict[str, Any]:
    """Config of a run."""
    return read_yaml(run.config)


def pseudo_sources(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Arguments of the pseudo-label sources in a config."""
    external = config["data"]["init_args"].get("external") or []
    return [item["init_args"] for item in external if str(item["class_path"]).rpartition(".")[2] == PSEUDO]


def check_teacher(run: RunFolder) -> tuple[int | str, str]:
    """Fold held out by a run, by all runs it started from and by all teachers of its pseudo-labels.

    Returns:
        The fold and the hash of its folds file.

    Raises:
        ValueError: if the run is not finished, or it was or may have been trained on images of that fold, directly or
            indirectly.
    """
    facts = run.read_facts()
    fold = config_of(run)["data"]["init_args"]["fold"]
    if facts.get("state") != "finished":
        raise ValueError(f"{run.path} is not finished (state {facts.get('state')!r}); finish its training first")
    if fold == "all":
        raise ValueError(f"{run.path} was trained on all images, including the targets of every fold")
    for other, how in ancestors(run):
        own, known = config_of(other)["data"]["init_args"]["fold"], other.read_facts().get("folds_hash")
        if own != fold or known is None or known != facts.get("folds_hash"):
            raise ValueError(
                f"{run.path} holds out fold {fold}, but {how} {other.path}, which holds out fold {own} of "
                f"{'the same' if known == facts.get('folds_hash') else 'other'} folds: targets of fold {fold} leak"
            )
    for source in labels_before(run):
        manifest = read_json(Path(source["root"]) / "manifest.json")
        entry = manifest["folds"].get(str(source.get("fold")), {})
        if source.get("fold") != fold or entry.get("folds_hash") != facts.get("folds_hash"):
            raise ValueError(
                f"{run.path} holds out fold {fold}, but was trained on labels for fold {source.get('fold')} in "
                f"{source['root']}: targets of fold {fold} leak"
            )
    return fold, str(facts["folds_hash"])


def ancestors(run: RunFolder) -> Iterator[tuple[RunFolder, str]]:
    """The run and all runs whose weights it started from.

    Raises:
        ValueError: if a run it started from was deleted.
    """
    seen: set[Path] = set()
    how = "it is"
    while run.path.resolve() not in seen:
        seen.add(run.path.resolve())
        yield run, how
        start = config_of(run)["model"]["init_args"].get("init_from")
        if start is None:
            return
        file = Path(start)
        owner = next((place for place in (file, *file.parents) if (place / "config.yaml").is_file()), None)
        if owner is None:
            if run.path / "stages" in file.parents:  # a deleted stage; all stages have the same fold
                return
            if not file.is_file() and "checkpoints" in file.parts:
                raise ValueError(f"{run.path} started from {start}, which was deleted: its held-out fold is unknown")
            return  # weights from another task
        run, how = RunFolder(owner), "started from"


def labels_before(run: RunFolder) -> list[dict[str, Any]]:
    """Pseudo-labels used by the run and by all runs it started from."""
    return [source for other, _ in ancestors(run) for source in pseudo_sources(config_of(other))]


def round_of(run: RunFolder) -> int:
    """Highest round of pseudo-labels that a run was trained on; 0 for none."""
    roots = {source["root"] for source in labels_before(run)}
    return max((read_json(Path(root) / "manifest.json")["round"] for root in roots), default=0)

"""Which run may label images for which training: none that has learned from the fold that is validated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.texts import read_json

PSEUDO = "PseudoLabels"


def config_of(run: RunFolder) -> dict[str, Any]:
    """A run's own config."""
    return read_yaml(run.config)


def pseudo_sources(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Arguments of the pseudo-labels that a config trains on."""
    external = config["data"]["init_args"].get("external") or []
    return [item["init_args"] for item in external if str(item["class_path"]).rpartition(".")[2] == PSEUDO]


def check_teacher(run: RunFolder) -> tuple[int | str, str]:
    """The fold that a run, everything it began from and everything that labelled for it have left out.

    Returns:
        The fold, and the hash of its folds file.

    Raises:
        ValueError: a run that is not finished, or learned from images of that fold anywhere on the way, or of which
            this cannot be told.
    """
    facts = run.read_facts()
    fold = config_of(run)["data"]["init_args"]["fold"]
    if facts.get("state") != "finished":
        raise ValueError(f"{run.path} is not finished (state {facts.get('state')!r}); train it to its end first")
    if fold == "all":
        raise ValueError(f"{run.path} was trained on all rows: it has seen the truth of every fold")
    for other, how in ancestors(run):
        own, known = config_of(other)["data"]["init_args"]["fold"], other.read_facts().get("folds_hash")
        if own != fold or known is None or known != facts.get("folds_hash"):
            raise ValueError(
                f"{run.path} leaves out fold {fold}, but {how} {other.path}, which left out fold {own} of "
                f"{'the same' if known == facts.get('folds_hash') else 'other'} folds: fold {fold}'s truth reaches it"
            )
    for source in labels_before(run):
        manifest = read_json(Path(source["root"]) / "manifest.json")
        entry = manifest["folds"].get(str(source.get("fold")), {})
        if source.get("fold") != fold or entry.get("folds_hash") != facts.get("folds_hash"):
            raise ValueError(
                f"{run.path} leaves out fold {fold}, but learned from labels for fold {source.get('fold')} in "
                f"{source['root']}: fold {fold}'s truth reaches it"
            )
    return fold, str(facts["folds_hash"])


def ancestors(run: RunFolder) -> Iterator[tuple[RunFolder, str]]:
    """The run and all runs whose weights it began from.

    Raises:
        ValueError: weights of a run that is gone.
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
            if run.path / "stages" in file.parents:  # a stage that was deleted; all stages share their fold
                return
            if not file.is_file() and "checkpoints" in file.parts:
                raise ValueError(f"{run.path} began from {start}, which is gone: which fold it left out cannot be told")
            return  # weights from elsewhere, of another task
        run, how = RunFolder(owner), "began from"


def labels_before(run: RunFolder) -> list[dict[str, Any]]:
    """Pseudo-labels that the run, or one whose weights it began from, was trained on."""
    return [source for other, _ in ancestors(run) for source in pseudo_sources(config_of(other))]


def round_of(run: RunFolder) -> int:
    """The highest round of pseudo-labels that a run has learned from; 0 for none."""
    roots = {source["root"] for source in labels_before(run)}
    return max((read_json(Path(root) / "manifest.json")["round"] for root in roots), default=0)

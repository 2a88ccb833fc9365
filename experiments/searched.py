"""`searched.yaml`, the chain that `search` found, and what it was found for: of another chain it is an old result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from compat.former_keys import accept_former_keys
from experiments.differences import differences, short
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.texts import read_json
from files.writing import write_json, write_yaml
from postprocessing.search import SearchResult
from predictions.store import PredictionStore


@dataclass
class Origin:
    """What a chain was searched for.

    Args:
        chain: the configured steps, `dataset_postprocess` and `postprocess`, with every argument.
        metric: the competition's.
    """

    chain: dict[str, Any]
    metric: dict[str, Any]


def origin_of(competition: Namespace) -> Origin:
    """The origin of a search that starts from a parsed `competition`."""
    text = json.dumps(competition, default=lambda value: vars(value) if isinstance(value, Namespace) else str(value))
    content = json.loads(text)
    return _in_words_of_today({key: content[key] for key in ("dataset_postprocess", "postprocess")}, content["metric"])


def _in_words_of_today(chain: dict[str, Any], metric: dict[str, Any]) -> Origin:
    """An origin in which classes have one name each, whichever of theirs a config or a former build has written."""
    named = accept_former_keys({"competition": chain | {"metric": metric}})["competition"]
    metric = named.pop("metric")
    return Origin(named, metric)


def write_searched(experiment: Path, found: SearchResult, origin: Origin, runs: Sequence[RunFolder]) -> Path:
    """Write `searched.yaml`, an overlay for a config, and `searched.json` beside it: what it was found for.

    Args:
        experiment: folder.
        found: by the search.
        origin: what it started from.
        runs: whose out-of-fold predictions it was found on.
    """
    path, overlay = experiment / "searched.yaml", found.as_overlay()
    record = {"found": overlay["competition"]["postprocess"], "chain": origin.chain, "metric": origin.metric}
    record |= {"folds": folds_of(runs), "before": found.before, "cross_fitted": found.cross_fitted}
    path.unlink(missing_ok=True)  # never beside the record of another one
    write_json(path.with_suffix(".json"), record | {"in_sample": found.in_sample})
    write_yaml(path, overlay)
    return path


def folds_of(runs: Sequence[RunFolder]) -> dict[str, list[str | None]]:
    """By the run's name: hash of its folds, and the state of its out-of-fold predictions."""
    found = {}
    for run in runs:
        store = PredictionStore(run.predictions / "val")
        state = store.state() if store.manifest_path.is_file() else None
        found[run.path.name] = [run.read_facts().get("folds_hash"), state]
    return found


def check_searched(path: Path, origin: Origin, runs: Sequence[RunFolder]) -> None:
    """Refuse a searched chain that does not belong to the configured one, and say what else has changed.

    Args:
        path: of `searched.yaml`.
        origin: what the config says now.
        runs: those that are looked at now.

    Raises:
        SystemExit: it was found for another chain; names what differs.
    """
    record = path.with_suffix(".json")
    if not record.is_file():
        print(f"note: {path} does not say which chain it was found for: an older version, or a hand, has written it")
        return
    known = read_json(record)
    before = _in_words_of_today(known["chain"], known["metric"])
    changed = differences([before.chain, origin.chain])
    if changed:
        text = ", ".join(f"{key}: {short(old)} -> {short(new)}" for key, (old, new) in changed.items())
        raise SystemExit(
            f"error: {path} was found for another chain than the config has now ({text}): it is an old result. Run "
            f"search again (python cli.py search {path.parent}), or delete it and take the configured chain"
        )
    if read_yaml(path)["competition"]["postprocess"] != known["found"]:
        print(f"note: {path} has been changed since `search` wrote it")
    if before.metric != origin.metric:
        print(f"note: {path} was found for another metric, {short(before.metric, 200)}; run search again for this one")
    other = [name for name, state in folds_of(runs).items() if known["folds"].get(name) != state]
    if other:
        print(f"note: {path} was found on other predictions or folds than {', '.join(other)} has; run search again")


def is_tuned(experiment: Path, run: RunFolder) -> bool:
    """Whether `search` has changed the configured chain of an experiment."""
    searched = experiment / "searched.yaml"
    if not searched.is_file():
        return False
    found, configured = (read_yaml(path)["competition"]["postprocess"] for path in (searched, run.config))
    return found != configured

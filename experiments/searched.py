"""`searched.yaml`, the post-processing found by `search`, and the configured chain and metric it was found for."""

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
    """Starting point of a search.

    Args:
        chain: configured steps, `dataset_postprocess` and `postprocess`, with all arguments.
        metric: metric of the competition.
    """

    chain: dict[str, Any]
    metric: dict[str, Any]


def origin_of(competition: Namespace) -> Origin:
    """Starting point of a search from a parsed `competition`."""
    text = json.dumps(competition, default=lambda value: vars(value) if isinstance(value, Namespace) else str(value))
    content = json.loads(text)
    return Origin(
        in_words_of_today({key: content[key] for key in ("dataset_postprocess", "postprocess")}),
        in_words_of_today({"metric": content["metric"]})["metric"],
    )


def in_words_of_today(competition: dict[str, Any]) -> dict[str, Any]:
    """Some keys of `competition` with current names and class paths, as written by any build."""
    return accept_former_keys({"competition": competition})["competition"]


def write_searched(experiment: Path, found: SearchResult, origin: Origin, runs: Sequence[RunFolder]) -> Path:
    """Write `searched.yaml`, a config overlay, and `searched.json`, the record of its starting point.

    Args:
        experiment: experiment folder.
        found: result of the search.
        origin: starting point of the search.
        runs: runs whose out-of-fold predictions were used.
    """
    path, overlay = experiment / "searched.yaml", found.as_overlay()
    record = {"found": overlay["competition"]["postprocess"], "chain": origin.chain, "metric": origin.metric}
    record |= {"folds": folds_of(runs), "before": found.before, "cross_fitted": found.cross_fitted}
    path.unlink(missing_ok=True)  # never leave it beside another record
    write_json(path.with_suffix(".json"), record | {"in_sample": found.in_sample})
    write_yaml(path, overlay)
    return path


def folds_of(runs: Sequence[RunFolder]) -> dict[str, list[str | None]]:
    """Folds hash and state of the out-of-fold predictions, by run name."""
    found = {}
    for run in runs:
        store = PredictionStore(run.predictions / "val")
        state = store.state() if store.manifest_path.is_file() else None
        found[run.path.name] = [run.read_facts().get("folds_hash"), state]
    return found


def check_searched(path: Path, origin: Origin, runs: Sequence[RunFolder]) -> None:
    """Reject searched post-processing of another configured chain, and print notes on other changes.

    Args:
        path: path of `searched.yaml`.
        origin: chain and metric of the current config.
        runs: current runs.

    Raises:
        SystemExit: if it was found for another chain; names the differences.
    """
    record = path.with_suffix(".json")
    if not record.is_file():
        print(
            f"note: {path} has no record of the chain it was found for; it was written by an older version or by hand"
        )
        return
    known = read_json(record)
    chain, found = in_words_of_today(known["chain"]), in_words_of_today({"postprocess": known["found"]})["postprocess"]
    metric = in_words_of_today({"metric": known["metric"]})["metric"]
    changed = differences([chain, origin.chain])
    if changed:
        text = ", ".join(f"{key}: {short(old)} -> {short(new)}" for key, (old, new) in changed.items())
        raise SystemExit(
            f"error: {path} was found for another post-processing chain than configured ({text}). Run search "
            f"again (python cli.py search {path.parent}), or delete it to use the configured chain"
        )
    if read_yaml(path)["competition"]["postprocess"] != found:
        print(f"note: {path} has been changed since `search` wrote it")
    if metric != origin.metric:
        print(f"note: {path} was found for another metric, {short(metric, 200)}; run search again")
    other = [name for name, state in folds_of(runs).items() if known["folds"].get(name) != state]
    if other:
        print(
            f"note: {path} was found on other predictions or folds than those of {', '.join(other)}; run search again"
        )


def is_tuned(experiment: Path, run: RunFolder) -> bool:
    """Whether `search` has changed the configured post-processing of an experiment."""
    searched = experiment / "searched.yaml"
    if not searched.is_file():
        return False
    found, configured = (read_yaml(path)["competition"]["postprocess"] for path in (searched, run.config))
    return found != configured

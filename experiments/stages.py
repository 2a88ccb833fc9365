"""Training in stages: each stage starts from the weights of the previous one and changes some config keys."""

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.fit_settings import FitSettings
from experiments.processes import launch, terminate_children_on_exit
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import to_yaml, write_json, write_yaml

FIXED = ("stages", "experiment", "runs", "run_folder", "ckpt_path", "overwrite", "cv", "competition")
FIXED_DATA = ("root", "images", "val_images", "folds", "fold")
SOURCES = ("best", "last", "average")


@dataclass
class Stage:
    """One entry of `stages:`.

    Args:
        name: name of its folder.
        start: weights of the previous stage to start from: `best`, `last`, or `average` of all that its
            `callbacks.TopCheckpoints` or `checkpoint.save_top_k` kept (including BatchNorm statistics, which adapt
            in training).
        overlay: config keys to change, as by a second `--config`. The changes do not apply to later stages.
        run: run folder; for the last stage, that of the whole run, so that later verbs use its checkpoint.
    """

    name: str
    start: str
    overlay: dict[str, Any]
    run: RunFolder


def stages_given(settings: FitSettings) -> list[dict[str, Any]] | None:
    """The `stages` of a training, from its flag or else from the last config that has the key."""
    for flag in reversed(settings.flags):
        if flag.key == "stages":
            return yaml.safe_load(flag.value or "null")
    for file in reversed(settings.configs):
        content = read_yaml(file) if file.is_file() else {}
        if "stages" in content:
            return content["stages"]
    return None


def make_stages(entries: list[dict[str, Any]], folder: Path) -> list[Stage]:
    """Build and validate the stages of a run.

    Args:
        entries: stages as in YAML: `name`, `from` and config keys.
        folder: folder of the whole run.

    Raises:
        ValueError: if a stage is invalid; names the stage and the key.
    """
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("stages: expected a list of stages, each a mapping of config keys")
    names = [str(entry.get("name", f"stage{number}")) for number, entry in enumerate(entries, 1)]
    stages = []
    for number, (name, entry) in enumerate(zip(names, entries, strict=True), 1):
        where = f"stages: stage {number} ({name})"
        start = entry.get("from", "best")
        if start not in SOURCES:
            raise ValueError(f"{where}: from is {start!r}, expected one of {', '.join(SOURCES)}")
        if number == 1 and "from" in entry:
            raise ValueError(f"{where}: the first stage cannot have `from`; set model.init_from to a file")
        overlay = copy.deepcopy({key: value for key, value in entry.items() if key not in ("name", "from")})
        fixed = [key for key in FIXED if key in overlay]
        data = (overlay.get("data") or {}).get("init_args") or {}
        fixed += [f"data.{key}" for key in FIXED_DATA if key in data]
        if fixed:
            raise ValueError(f"{where}: {fixed[0]} must be the same in all stages; set it outside of stages")
        if number > 1 and "init_from" in ((overlay.get("model") or {}).get("init_args") or {}):
            raise ValueError(f"{where}: model.init_from is the previous stage's checkpoint; choose it with `from`")
        if not name or name in names[: number - 1] or any(character in name for character in "/\\. "):
            raise ValueError(f"{where}: stage names are folder names and must be unique, without / . or space")
        last = number == len(entries)
        run = RunFolder(folder if last else folder / "stages" / f"{number}_{name}")
        stages.append(Stage(name, start, overlay, run))
    return stages


def chosen_weights(stage: Stage, start: str) -> Path:
    """Weights file of a finished stage that the next one starts from; an average is written once.

    Raises:
        ValueError: if `average` is set and the stage kept fewer than two checkpoints.
    """
    # Imported on demand: a finished chain does not need torch.
    from experiments.averaging import average, write
    from experiments.kept_checkpoints import kept_checkpoints

    if start == "last":
        return stage.run.checkpoint("last")
    best, kept = kept_checkpoints(stage.run)
    if start == "best":
        return best
    if len(kept) < 2:
        raise ValueError(
            f"stages: the stage after {stage.name!r} starts from its average, but it kept {len(kept)} "
            'checkpoint; set checkpoint: {save_top_k: 3, filename: "{epoch}"} there'
        )
    return write(average(kept), stage.run.path / "average.ckpt")


def run_stages(
    settings: FitSettings, entries: list[dict[str, Any]], call: Callable[[list[str]], int] = launch
) -> RunFolder:
    """Train all stages of a run, each by its own `fit`; `--ckpt_path last` resumes an interrupted one.

    Args:
        settings: settings of `fit`. Flags apply to every stage and override keys set by a stage.
        entries: stages as in YAML.
        call: function that runs `cli.py` with arguments and returns its exit status.

    Returns:
        The folder of the whole run, which is also that of the last stage.
    """
    given, resume, overwrite = own_flags(settings)
    folder = given.run_folder()
    record = RunFolder(folder).stages
    try:
        stages = make_stages(entries, folder)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    if overwrite:
        shutil.rmtree(folder / "stages", ignore_errors=True)
        record.unlink(missing_ok=True)
    elif record.is_file() and not resume:
        raise SystemExit(
            f"error: {folder} already contains stages of a run\n  resume it:   --ckpt_path last\n"
            "  replace it:  --overwrite true\n  keep both:   --experiment ANOTHER_NAME"
        )
    with terminate_children_on_exit():
        for number, stage in enumerate(stages):
            _run_stage(stage, stages[number - 1] if number else None, Record(record, number), given, call, overwrite)
    return RunFolder(folder)


class Record:
    """Entry of one stage in `stages.json`.

    Args:
        path: path of `stages.json`.
        number: stage number, from 0.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number

    def read(self) -> dict[str, Any]:
        """Read the entry, or an empty dict."""
        entries = read_json(self.path)["stages"] if self.path.is_file() else []
        return entries[self.number] if self.number < len(entries) else {}

    def write(self, entry: dict[str, Any]) -> None:
        """Replace the entry; entries of later stages, which start from this one, are deleted."""
        entries = read_json(self.path)["stages"] if self.path.is_file() else []
        write_json(self.path, {"stages": [*entries[: self.number], entry]})

    def remove(self) -> None:
        """Remove the entry and those of later stages."""
        entries = read_json(self.path)["stages"][: self.number]
        if entries:
            write_json(self.path, {"stages": entries})
        else:
            self.path.unlink()


def _run_stage(
    stage: Stage,
    before: Stage | None,
    record: Record,
    given: FitSettings,
    call: Callable[[list[str]], int],
    overwrite: bool,
) -> None:
    """Train one stage unless it is finished."""
    settings = text_hash(to_yaml([stage.name, stage.start, stage.overlay], sort_keys=True))
    known = record.read()
    if known.get("state") == "finished":
        if known["settings"] != settings:
            raise SystemExit(
                f"error: stage {stage.name!r} in {stage.run.path} was trained with other settings; restore them, or "
                "restart all stages with --overwrite true"
            )
        print(f"# stage {stage.name}: finished before, skipped", flush=True)
        return
    started = known.get("state") == "started" and bool(stage.run.last_checkpoints())
    if not started:
        weights = None if before is None else chosen_weights(before, stage.start)
        known = {
            "name": stage.name,
            "folder": str(stage.run.path),
            "from": None if weights is None else str(weights),
            "from_hash": None if weights is None else file_hash(weights),
        }
    known |= {"settings": settings, "state": "started"}
    overlay = write_overlay(stage, known["from"])
    record.write(known)
    own = {"stages": "null", "run_folder": stage.run.path}
    own |= {"ckpt_path": "last"} if started else {"overwrite": "true"} if overwrite else {}
    command = ["fit", *given.with_configs(overlay).with_flags(own).arguments()]
    print(f"\n# stage {stage.name}\n$ python cli.py {' '.join(command)}", flush=True)
    code = call(command)
    if code > 0 and not stage.run.config.is_file():  # it has said why it could not start; there is nothing to resume
        record.remove()
        overlay.unlink()
        raise SystemExit(code)
    if code or not stage.run.is_finished():
        raise SystemExit(
            f"error: stage {stage.name!r} ended with status {code} before it was finished; the same command with "
            "--ckpt_path last resumes it"
        )
    record.write(known | {"state": "finished"})


def write_overlay(stage: Stage, weights: str | None) -> Path:
    """Write `stage.yaml` in the stage's folder: its keys and the weights it starts from."""
    overlay = copy.deepcopy(stage.overlay)
    if weights is not None:
        model = overlay.get("model") or {}
        overlay["model"] = model | {"init_args": (model.get("init_args") or {}) | {"init_from": weights}}
    path = stage.run.path / "stage.yaml"
    write_yaml(path, overlay)
    return path


def own_flags(settings: FitSettings) -> tuple[FitSettings, bool, bool]:
    """Settings without the flags handled by stages; whether to resume; whether to overwrite."""
    given = {flag.key: flag.value for flag in settings.flags}
    if "model.init_from" in given:
        raise SystemExit("error: with stages, set model.init_from in the config: a flag would apply to all stages")
    checkpoint = given.get("ckpt_path")
    if checkpoint not in (None, "last"):
        raise SystemExit(
            f"error: --ckpt_path {checkpoint}: expected `last` for a run with stages, which resumes the current stage"
        )
    overwrite = yaml.safe_load(given.get("overwrite") or "false") is True
    return settings.without("ckpt_path", "overwrite", "stages"), checkpoint is not None, overwrite

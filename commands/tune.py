r"""The verb `tune`: search values of config keys, one `fit` per trial; writes a table and the best overlay.

The learning rate and the loss:

    python cli.py tune --config X.yaml --space 'optimizer.lr=1e-4:1e-2:log' --space 'loss=[bce, bce + dice]' --trials 20

Random search of an augmentation policy over the arguments of its entries, as HPA 2018's 3rd place (pudae):

    python cli.py tune --config X.yaml --trainer.max_epochs 3 --trials 50 --space 'data.augmentation.0.p=0.0:1.0' \
        --space 'data.augmentation.1.policy=[rand-m5-n2, rand-m9-n2, augmix-m3-w3]'

Drop-one ablation of a list, with the same seed (SpaceNet 4's winners: flips and rotations reduced the score):

    python cli.py tune --config X.yaml --drop_one data.augmentation
"""

import contextlib
import io
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import yaml

from commands.command_line.passed_on import check_counts, options_and_settings
from commands.command_line.quiet import silence_libraries
from experiments.fit_settings import FitSettings, Flag
from experiments.members import Call, make_folds_file
from experiments.processes import launch, terminate_children_on_exit
from experiments.search_space import Axis, check_apart, drop_one_axis, locate, parse_axis, value_at
from experiments.study import Study, clear
from experiments.tables import as_text
from experiments.trial_proposals import tpe
from experiments.trials import Search, run_trials
from files.paths import file_hash
from files.writing import write_csv

REFUSED = ("overwrite", "ckpt_path", "run_folder", "trainer.devices")
DESCRIPTION = """Each trial is one fit on one device; other flags go to every fit. The same command resumes a
study; more --trials extend it. Trials are compared by the best val/score of their fold, so the
best score is optimistic: run crossval with best.yaml for an unbiased one."""


@dataclass
class Options:
    """Options of `tune`.

    Args:
        space: Search space of a key: key=low:high[:log][:points] or key=[one, other]; may be repeated.
        drop_one: Key of a list in the config; one run with all entries, and one without each entry.
        trials: Number of trials; by default, 20 for random and tpe, and all points for grid.
        method: Search method; by default, grid, or random if --trials is given.
        seed: Random seed of the search; the runs use seed_everything.
        study: Name of the study folder in the experiment folder; by default, tune or drop_KEY.
        retry_failed: Whether to rerun failed trials.
        keep: Trials whose checkpoints are kept: the best one or all.
        devices: GPU indices, such as 0,1; `auto` for all GPUs, `none` for the CPU.
        jobs: Number of trials run in parallel; by default, one per GPU, or one on the CPU.
    """

    space: list[str] = field(default_factory=list)
    drop_one: str | None = None
    trials: int | None = None
    method: Literal["grid", "random", "tpe"] | None = None
    seed: int = 0
    study: str | None = None
    retry_failed: bool = False
    keep: Literal["best", "all"] = "best"
    devices: str = "auto"
    jobs: int | None = None


def main(arguments: list[str], call: Call = launch) -> None:
    """Run the missing trials."""
    silence_libraries()
    options, given = parse(arguments)
    config = resolved(given)
    try:
        axes = read_axes(options, given, config)
        study = make_study(options, given, axes, config)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    for trial in study.trials if options.retry_failed else ():
        if trial.state == "failed":
            clear(trial)
    search = Search(
        options.method or "grid",
        options.trials,
        options.seed,
        options.devices,
        options.jobs,
        keep_all=options.keep == "all",
    )
    with terminate_children_on_exit():
        if not isinstance(config["data"]["init_args"]["fold"], str):
            make_folds_file(given, call)
        run_trials(study, search, given, config, call)
    study.save()
    print_end(study, options, given)


def parse(arguments: list[str]) -> tuple[Options, FitSettings]:
    """The verb's own options, and the settings passed on to `fit`."""
    takes = "--config FILE (--space KEY=VALUES … | --drop_one KEY) [options] [--key value …]"
    description = f"{DESCRIPTION}\n\nexamples:\n\n{__doc__.split(chr(10), 2)[2]}"
    options, given = options_and_settings("tune", arguments, Options, takes, description, REFUSED, "trial")
    if bool(options.space) == (options.drop_one is not None):
        raise SystemExit("error: tune needs either --space key=values or --drop_one KEY")
    if options.drop_one is not None and (options.method or options.trials):
        raise SystemExit("error: --method and --trials have no effect with --drop_one; remove them")
    check_counts(trials=options.trials, jobs=options.jobs)
    options.method = options.method or ("random" if options.trials else "grid")
    if options.method == "tpe":
        import_optuna()
    return options, given


def import_optuna() -> None:
    """Check that Optuna is installed before any trial runs."""
    try:
        tpe([], [], 0, True)
    except ImportError as error:
        raise SystemExit(f"error: {error}") from None


def resolved(given: FitSettings) -> dict[str, Any]:
    """The resolved config of `fit`, with defaults; invalid configs raise an error."""
    from commands.command_line.training import CompetitionCLI  # on demand: --help needs no torch

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            CompetitionCLI("fit", replace(given, flags=(*given.flags, Flag("--print_config"))))
        except SystemExit as ended:
            if ended.code:
                raise
    return yaml.safe_load(text.getvalue())


# --- the study -------------------------------------------------------------------------------------------------------


def read_axes(options: Options, given: FitSettings, config: dict[str, Any]) -> list[Axis]:
    """The keys of the search space, each checked against the config."""
    if options.drop_one is not None:
        check_flags(given, [options.drop_one])
        axes = [drop_one_axis(options.drop_one, value_at(config, locate(config, options.drop_one)))]
    else:
        axes = [parse_axis(text) for text in options.space]
        check_flags(given, [axis.key for axis in axes])
    paths = [(axis.key, locate(config, axis.key)) for axis in axes]
    check_apart(paths)
    return axes


def make_study(options: Options, given: FitSettings, axes: list[Axis], config: dict[str, Any]) -> Study:
    """The study, with the trials of earlier calls."""
    if value_at(config, ("data", "init_args", "fold")) == "all":
        raise ValueError("data.fold is all: without validation, trials cannot be compared; set a fold")
    folder = Path(config["runs"]) / (config["experiment"] or given.name)
    folder /= options.study or (f"drop_{options.drop_one}" if options.drop_one else "tune")
    module, _, name = config["competition"]["metric"]["class_path"].rpartition(".")
    study = Study(folder, axes, getattr(import_module(module), name).higher_is_better)
    study.settle(
        space=options.space or [f"drop_one {options.drop_one}"],
        method=options.method,
        seed=options.seed,
        flags=[part for flag in given.flags for part in flag.arguments()],
        files={str(file): file_hash(file) for file in given.configs},
    )
    study.read()
    return study


def check_flags(given: FitSettings, keys: list[str]) -> None:
    """Reject a flag for a key of the search space: flags override the trial's config, so all trials would be equal.

    Raises:
        ValueError: if a flag sets a key of the search space.
    """
    for flag in given.flags:
        for key in keys:
            plain = key.replace("init_args.", "")
            if any(
                f"{flag.key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{flag.key}.")
                for one in (plain, f"model.{plain}")
            ):
                raise ValueError(f"{flag.name} would override {key} in all trials; set its value in a config instead")


# --- the end ---------------------------------------------------------------------------------------------------------


def print_end(study: Study, options: Options, given: FitSettings) -> None:
    """Print the table, best trial first, the overlay and the failed trials."""
    best = study.best()
    failed = [trial for trial in study.trials if trial.state == "failed"]
    reasons = "".join(f"\n  trial {trial.number}: {trial.reason} ({trial.log})" for trial in failed)
    if best is None:
        raise SystemExit(
            f"error: no trial of {study.folder} finished; fix the cause, then run with --retry_failed true{reasons}"
        )
    if options.drop_one is not None:
        rows = drop_one_rows(study)
        write_csv(study.folder / "drop_one.csv", DROP_ONE, rows)
        print("\n" + as_text(DROP_ONE, rows))
        print("one seed and one fold: differences below the standard deviation over seeds are not significant")
    else:
        shown = [name for name in study.columns() if name not in ("reason", "run")]
        rows = [study.row(trial)[: len(shown)] for trial in study.ranked()]
        print("\n" + as_text(shown, rows))
    if failed:
        print(f"{len(failed)} of {len(study.trials)} trials failed; --retry_failed true reruns them{reasons}")
    print(f"table: {study.folder}/trials.csv; best trial: trial {best.number} ({best.score:.4f}): {best.run.path}")
    configs = " ".join(f"--config {file}" for file in given.configs)
    print(f"next:  python cli.py crossval {configs} --config {study.folder}/best.yaml --experiment NAME")


DROP_ONE = ("without", "score", "difference", "best_epoch", "state")


def drop_one_rows(study: Study) -> list[tuple[str, ...]]:
    """One row per dropped entry: the score without it, and its difference to the score with all entries."""
    whole = next((trial.score for trial in study.trials if trial.number == 0), None)
    names = study.axes[0].domain.names
    rows = []
    for trial in study.trials:
        name = names[trial.number]
        score = "" if trial.score is None else f"{trial.score:.6f}"
        known = trial.score is not None and whole is not None and trial.number
        difference = f"{trial.score - whole:+.6f}" if known else ""
        rows.append((name, score, difference, "" if trial.epoch is None else str(trial.epoch), trial.state))
    return rows

"""The verb `run`: folds, fit, predict, search and submit for one config, each in its own process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from commands.command_line.passed_on import options_and_settings
from experiments.fit_settings import FitSettings
from experiments.members import is_current
from experiments.processes import launch, terminate_children_on_exit
from experiments.run_folder import RunFolder, fold_name, fold_runs
from experiments.submission_file import submission_file
from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import write_json


@dataclass
class ChainStep:
    """One command of `run`.

    Args:
        verb: verb of `cli.py`.
        arguments: command-line arguments after the verb.
        inputs: texts and files that the result depends on; the step is skipped if they are unchanged.
        outputs: files that must exist to skip the step.
        current: additional check whether the step may be skipped, for changes that input hashes do not show.
    """

    verb: str
    arguments: list[str]
    inputs: list[str | Path]
    outputs: list[Path]
    current: Callable[[], bool] = lambda: True

    def fingerprint(self) -> str:
        """Hash of the command and its inputs."""
        parts = [
            file_hash(item) if isinstance(item, Path) and item.is_file() else str(item)
            for item in [*self.arguments, *self.inputs]
        ]
        return text_hash("\n".join([self.verb, *parts]))


def run_step(step: ChainStep, record: Path, resume: list[str]) -> None:
    """Run a step unless it is finished; `resume` is added if the last attempt with the same inputs was interrupted."""
    done = read_json(record) if record.is_file() else {}
    fingerprint = step.fingerprint()
    if done.get(step.verb) == fingerprint and all(path.exists() for path in step.outputs) and step.current():
        print(f"# {step.verb}: unchanged, skipped", flush=True)
        return
    again = resume if done.get(f"{step.verb} started") == fingerprint else []
    write_json(record, done | {f"{step.verb} started": fingerprint})
    print("\n$ python cli.py " + " ".join([step.verb, *step.arguments, *again]), flush=True)
    begin = time.monotonic()
    with terminate_children_on_exit():
        code = launch([step.verb, *step.arguments, *again])
    if code:
        raise SystemExit(f"error: `{step.verb}` ended with status {code}; the same `run` command resumes there")
    print(f"# {step.verb}: {time.monotonic() - begin:.0f} s", flush=True)
    done = read_json(record)
    done.pop(f"{step.verb} started", None)
    write_json(record, done | {step.verb: fingerprint})


@dataclass
class Options:
    """Options of `run`: none."""


DESCRIPTION = """Run folds, fit, predict, search and submit for one config, each as its own command.
Flags go to fit; data, cv and competition flags go to every step. Steps with unchanged
inputs are skipped; an interrupted fit is resumed from its last checkpoint."""


def main(arguments: list[str]) -> None:
    """Run folds → fit → predict → search → submit (→ score, if the solution is known)."""
    _, given = options_and_settings("run", arguments, Options, "--config FILE [--key value …]", DESCRIPTION)
    begin = time.monotonic()
    experiment, folds = given.experiment_folder(), given.folds_file()
    fold = given.setting("data.fold", 0)
    run = RunFolder(experiment / fold_name(fold))
    record = experiment / "chain.json"
    if fold not in ("all", "given") and not folds.is_file():
        run_step(ChainStep("folds", given.offline().arguments(), [], [folds]), record, [])
    resume = ["--ckpt_path", "last"] if run.has_begun() else []
    run_step(ChainStep("fit", given.arguments(), [*given.configs, folds], [run.checkpoint_file]), record, resume)
    fitted = FitSettings((run.config,))
    tested, form = fitted.setting("data.test_images"), fitted.setting("competition.submission.class_path")
    splits = [*(["val"] if fold != "all" else []), *(["test"] if tested is not None else [])]
    predictions = [run.predictions / split / "manifest.json" for split in splits]
    made_from: list[str | Path] = [run.checkpoint("best"), run.config]
    run_step(ChainStep("predict", [str(run.path)], made_from, predictions, partial(is_current, run)), record, [])
    searched = [experiment / "searched.yaml"]
    # One fold is requested; other trained folds of the experiment are included.
    own = [str(experiment), *(["--missing", "skip"] if len(fold_runs(experiment)) > 1 else [])]
    if fold != "all":
        run_step(ChainStep("search", own, [*predictions, run.config], searched), record, [])
    if tested is None or form is None:
        lacking = "data.test_images" if tested is None else "competition.submission"
        print(f"\nfinished after {time.monotonic() - begin:.0f} s, without a submission: {lacking} is not set")
        print(f"outputs of the run: {run.path}")
        return
    submission = submission_file(experiment, form)
    inputs: list[str | Path] = [*predictions, run.config, *searched]
    run_step(ChainStep("submit", own, inputs, [submission]), record, [])
    if given.setting("competition.solution") is not None:
        run_step(
            ChainStep("score", [str(submission), "--config", str(run.config)], [submission], [Path("-")]), record, []
        )
    print(f"\n{submission} is ready after {time.monotonic() - begin:.0f} s; outputs of the run: {run.path}")

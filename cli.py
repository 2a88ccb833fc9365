"""The command line: one verb, then a config or a run folder."""

import os
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

from compat.former_keys import accept_former_flags
from compat.former_names import accept_former_names

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would otherwise ask the network for news
accept_former_names()

VERBS = {
    "explore": "report of a dataset: samples, sizes, truth, copies, train against test, folds",
    "prepare": "convert and preprocess a dataset once: PNG or npy files, masks, a table",
    "run": "the whole chain of one config: folds, fit, predict, search, submission",
    "folds": "write the folds file: duplicates and groups are never split",
    "fit": "train one fold (or all rows)",
    "crossval": "every fold (and repetition) in processes of their own; one table, one score",
    "tune": "try values of any keys of a config, by grid, random or Optuna; drop one entry each",
    "compare": "experiments side by side: what differs, scores with their spread, time",
    "validate": "score a trained run on its validation fold, as prediction will see it",
    "test": "score a trained run on labelled test images",
    "predict": "write out-of-fold and test predictions of a run, or of all folds",
    "search": "tune the post-processing on out-of-fold predictions",
    "score": "metric of predictions or of a submission file against the truth",
    "ensemble": "blend the predictions of several experiments; weights found out of fold",
    "stack": "a second-level model over out-of-fold predictions, or over their objects",
    "average": "one checkpoint whose weights are the mean of several of a run",
    "pseudo": "labels for unlabelled images by trained runs; a fold's truth never reaches them",
    "adversarial": "can training and test images be told apart; weights that make them alike",
    "clean": "labels that out-of-fold predictions contradict; weights that leave them out",
    "features": "what a network makes of every image before its head, computed once",
    "suggest": "name the images to annotate next; check and note a round of new labels",
    "report": "one page: folds, curves, calibration, gain of each step, outliers, images",
    "submit": "write the submission file and check it against the sample",
}

FORMER_VERBS = {"advval": "adversarial"}  # accepted for one release
PER_FOLD = ("validate", "test", "predict")  # of an experiment folder they run once per fold

HELP = """usage: python cli.py VERB (--config FILE | RUN_FOLDER) [--key value …]

{verbs}

python cli.py VERB --help    the verb's own arguments
A first run, with data it makes itself:    python cli.py run --config configs/quickstart.yaml
"""


def help_text() -> str:
    """Every verb with a line each."""
    width = max(map(len, VERBS))
    return HELP.format(verbs="\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items()))


def every_fold(verb: str, arguments: list[str]) -> int | None:
    """Run a training verb once per fold of an experiment folder; None when the argument is no such folder."""
    if verb == "fit" or not arguments or arguments[0].startswith("-"):
        return None
    folder = Path(arguments[0])
    if (folder / "config.yaml").is_file() or not any(folder.glob("*/config.yaml")):
        return None
    for config in sorted(folder.glob("*/config.yaml")):
        command = [sys.executable, str(Path(__file__)), verb, str(config.parent), *arguments[1:]]
        print("$ python cli.py " + " ".join(command[2:]), flush=True)
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the verb that the arguments (those of the command line by default) begin with; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    verb, rest = arguments[0], accept_former_flags(arguments[1:])
    if verb in FORMER_VERBS:
        print(f"note: `{verb}` is now `{FORMER_VERBS[verb]}`", file=sys.stderr)
        verb = FORMER_VERBS[verb]
    if verb not in VERBS:
        print(f"error: no verb {verb!r}\n\n{help_text()}", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(rest):
        print(f"{verb}: {VERBS[verb]}\n")
    code = every_fold(verb, rest) if verb in PER_FOLD else None
    if code is not None:
        return code
    import_module(f"commands.{verb}").main(rest)
    return 0


def end(error: Exception) -> int:
    """Say why a command ended: the cause alone where it was foreseen, else the traceback too; returns the status."""
    text = import_module("commands.command_line.errors").told(error)
    if text is None:
        raise error
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    warnings.formatwarning = import_module("commands.command_line.quiet").one_line
    try:
        status = main()
    except SystemExit as ended:  # a verb's own last word; who asks for the traceback wants that of its cause
        if not ended.code and {"-h", "--help"} & set(sys.argv):
            sys.stdout.flush()
            os._exit(0)  # taking torch and Lightning down again lasts a second, which a help text need not wait for
        wanted = (
            isinstance(ended.__cause__, Exception) and import_module("commands.command_line.errors").traceback_wanted()
        )
        raise (ended.__cause__ if wanted else ended) from None
    except Exception as error:
        status = end(error)
    sys.exit(status)

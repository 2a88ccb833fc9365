"""The command line: one verb, then a config or a run folder."""

import os
import sys
import warnings
from importlib import import_module

from compat.former_keys import accept_former_flags
from compat.former_names import accept_former_names

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no online version check on import
accept_former_names()

VERBS = {
    "new": "write a config for your own images and labels",
    "explore": "describe a dataset: samples, sizes, targets, duplicates, shift from train to test, folds",
    "prepare": "convert and preprocess a dataset once, into PNG or npy files, masks and a table",
    "run": "run folds, fit, predict, search and submit for one config",
    "folds": "write the folds file; duplicates and groups stay in one fold",
    "fit": "train one fold, or on all images",
    "crossval": "train, predict and score every fold and repetition",
    "tune": "search the values of config keys: grid, random or Optuna; drop-one ablation",
    "compare": "compare experiments: settings, scores with standard deviations, training time",
    "validate": "score a trained run on its validation fold",
    "test": "score a trained run on labelled test images",
    "predict": "write the out-of-fold and test predictions of a run or of all folds",
    "search": "tune the post-processing on out-of-fold predictions",
    "score": "score out-of-fold predictions or a submission file",
    "ensemble": "blend the predictions of several experiments",
    "stack": "train a second-level model on out-of-fold predictions",
    "average": "average the weights of several checkpoints of a run",
    "pseudo": "pseudo-label images with trained runs, without leakage between folds",
    "adversarial": "adversarial validation: test whether train and test differ; weight training images",
    "clean": "find labels that out-of-fold predictions contradict; weights that exclude them",
    "features": "compute an encoder embedding of each image",
    "suggest": "select the images to annotate next; check and record new labels",
    "report": "write an HTML report on an experiment: folds, curves, calibration, steps, outliers, images",
    "submit": "write the submission file and check it against the sample",
}

FORMER_VERBS = {"advval": "adversarial"}  # accepted for one release

HELP = """usage: python cli.py VERB (--config FILE | RUN_FOLDER) [--key value …]

verbs:
{verbs}

Options of a verb:             python cli.py VERB --help
First run, on generated data:  python cli.py run --config configs/quickstart.yaml
"""


def help_text() -> str:
    """Help text with one line per verb."""
    width = max(map(len, VERBS))
    return HELP.format(verbs="\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items()))


def main(arguments: list[str] | None = None) -> int:
    """Run the verb named by the first argument (`sys.argv[1:]` by default) and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    verb, rest = arguments[0], accept_former_flags(arguments[1:])
    if verb in FORMER_VERBS:
        print(f"note: `{verb}` is now `{FORMER_VERBS[verb]}`", file=sys.stderr)
        verb = FORMER_VERBS[verb]
    if verb not in VERBS:
        print(f"error: unknown verb {verb!r}\n\n{help_text()}", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(rest):
        print(f"{verb}: {VERBS[verb]}\n")
    import_module(f"commands.{verb}").main(rest)
    return 0


def end(error: Exception) -> int:
    """Print the error alone if the project raised it, re-raise it with its traceback otherwise; return the status."""
    text = import_module("commands.command_line.errors").format_error(error)
    if text is None:
        raise error
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    warnings.showwarning = import_module("commands.command_line.quiet").show_once
    try:
        status = main()
    except SystemExit as ended:  # an error message of a verb; with TRACEBACK=1 show the traceback of its cause
        if not ended.code and {"-h", "--help"} & set(sys.argv):
            sys.stdout.flush()
            os._exit(0)  # shutdown with torch loaded takes 1 s; skip it
        wanted = (
            isinstance(ended.__cause__, Exception) and import_module("commands.command_line.errors").traceback_wanted()
        )
        raise (ended.__cause__ if wanted else ended) from None
    except Exception as error:
        status = end(error)
    sys.exit(status)

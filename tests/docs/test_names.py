"""Classes, keys, files, verbs and flags that documents, comments, docstrings and messages name are there."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml

import cli
from callbacks import EarlyStopping, ExponentialMovingAverage, RunCheckpoint
from docs.generate import verbs
from docs.generate.objects import argument_types, class_named, packages, public

ROOT = Path(__file__).parents[2]
OURS = {package.partition(".")[0] for package in packages()}
LIBRARIES = ["albumentations", "torch", "torchvision", "segmentation_models_pytorch", "timm", "monai", "kornia"]
LIBRARIES += ["pytorch_lightning", "torchmetrics", "pytorch_metric_learning", "optuna", "nibabel", "rasterio"]
LIBRARIES += ["sklearn", "lightgbm", "xgboost", "catboost"]
DOTTED = re.compile(rf"(?<![\w./-])((?:{'|'.join(sorted(OURS) + LIBRARIES)})(?:\.[A-Za-z_]\w*)+)")
FILES = {"py", "md", "yaml", "csv", "json", "sh", "ckpt", "safetensors"}
FILE = re.compile(
    rf"(?<![\w./*<-])((?:{'|'.join(sorted(OURS) + ['tests', 'docs', 'configs', 'benchmarks'])})/[\w./-]+)"
)
FLAG = re.compile(r"(?<![\w-])--([a-z]\w*(?:\.\w+)*)")
COMMAND = re.compile(r"python cli\.py (\w+)((?:[^`\n;)\"#]|(?<=')[\"])*)")
FOREIGN = {"porcelain", "untracked", "logdir", "backend"}  # flags of git, tensorboard and mlflow
PLACEHOLDERS = {"key", "flag"}
# What readers write themselves, in the examples of the documents.
WRITTEN_BY_READERS = {"MyReader", "MyMetric", "ClearBorder", "NpzMasks", "BrierLoss"}
WRITTEN_BY_READERS |= {"clear_border", "npz_masks", "brier", "mine", "x", "name"}


def python_files() -> list[Path]:
    folders = [ROOT / name for name in sorted(OURS)]
    return [ROOT / "cli.py", *(file for folder in folders for file in sorted(folder.rglob("*.py")))]


def texts_of(file: Path) -> Iterator[str]:
    """Docstrings, messages and help texts of a Python file; what an f-string fills in is an ellipsis."""
    tree = ast.parse(file.read_text())
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def documents_of(folder: Path) -> list[Path]:
    """The pages of a folder, without those that a build of the site has left there."""
    return sorted(page for page in folder.rglob("*.md") if "generated" not in page.relative_to(folder).parts)


@cache
def places() -> dict[str, str]:
    """Every text that a reader sees, by where it stands."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *documents_of(ROOT / "docs")]
    found = {str(file.relative_to(ROOT)): file.read_text() for file in documents}
    for file in sorted((ROOT / "configs").rglob("*.yaml")):
        comments = (line.partition("#")[2] for line in file.read_text().splitlines())
        found[str(file.relative_to(ROOT))] = "\n".join(comments)
    for file in python_files():
        found[str(file.relative_to(ROOT))] = "\n".join(texts_of(file))
    return found


def resolves(path: str) -> bool:
    """Whether a dotted path leads to a module, a class, what lies in it, or an argument of its constructor."""
    parts = path.split(".")
    if parts[0] == "inference" and parts[1] in names(class_named("Inference")):  # a key named like its folder
        return True
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for number, part in enumerate(parts[count:], count):
            if not hasattr(found, part):
                return number == len(parts) - 1 and inspect.isclass(found) and part in names(found)
            found = getattr(found, part)
        return True
    return False


def test_every_dotted_path_leads_somewhere():
    wrong = []
    for place, text in places().items():
        for path in set(DOTTED.findall(text)):
            parts = path.split(".")
            skipped = parts[-1] in FILES or parts[-1] in WRITTEN_BY_READERS or find_spec(parts[0]) is None
            if not skipped and not resolves(path):
                wrong.append(f"{place}: {path}")
    assert not wrong, "\n".join(wrong)


def test_every_file_that_is_named_is_there():
    wrong = []
    for place, text in places().items():
        for name in set(FILE.findall(text)):
            path = ROOT / name.rstrip(".")
            known = path.is_file() or path.stem in WRITTEN_BY_READERS
            if path.suffix.lstrip(".") in FILES and not known:
                wrong.append(f"{place}: {name}")
    assert not wrong, "\n".join(wrong)


# --- keys of the config ----------------------------------------------------------------------------------------------


@cache
def names(kind: type) -> frozenset[str]:
    """Constructor arguments of a class, those of its bases where it hands them on."""
    found: set[str] = set()
    for base in kind.__mro__:
        parameters = inspect.signature(base).parameters.values() if "__init__" in vars(base) or base is kind else ()
        found |= {one.name for one in parameters}
    return frozenset(found)


@cache
def choices(kind: type) -> tuple[type, ...]:
    """The classes that can stand where a config asks for this one."""
    every = [value for package in packages() for value in public(package).values() if inspect.isclass(value)]
    return tuple(one for one in [kind, *every] if issubclass(one, kind))


KEYS = {
    "data": lambda: choices(class_named("BaseDataModule")),
    "model": lambda: choices(class_named("BaseModule")),
    "competition": lambda: (class_named("Competition"),),
    "cv": lambda: (class_named("CrossValidation"),),
    "trainer": lambda: (pl.Trainer,),
    "checkpoint": lambda: (RunCheckpoint, pl.callbacks.ModelCheckpoint),
    "early_stopping": lambda: (EarlyStopping, pl.callbacks.EarlyStopping),
    "ema": lambda: (ExponentialMovingAverage,),
}
KEY = re.compile(rf"`((?:{'|'.join(KEYS)})(?:\.[a-z]\w*)+)[`:\s=]")


def is_key(path: str) -> bool:
    """Whether a config has this key, with some class or other at each place."""
    first, *rest = (part for part in path.split(".") if part != "init_args")
    kinds = KEYS[first]()
    for number, part in enumerate(rest):
        if part in ("class_path", "help"):
            return True
        if part.isdigit():  # an entry of a list
            continue
        own = [kind for kind in kinds if part in names(kind)]
        if not own:
            return False
        if number < len(rest) - 1:
            kinds = tuple(one for kind in own for used in argument_types(kind) for one in choices(used))
            if not kinds:  # of a library: its own names are not looked at
                return True
    return True


def test_every_key_of_a_config_is_one():
    wrong = [
        f"{place}: {path}"
        for place, text in places().items()
        for path in set(KEY.findall(text))
        if path.rpartition(".")[2] not in FILES and not is_key(path)
    ]
    assert not wrong, "\n".join(wrong)


# --- YAML in the documents ------------------------------------------------------------------------------------------


def snippets(text: str) -> Iterator[Any]:
    """YAML in code spans and blocks, parsed; what is left out (`…`) and what is no YAML is left out."""
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for span in [*blocks, *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]:
        try:
            yield yaml.safe_load(re.sub(r", …(?=[}\]])", "", span))
        except yaml.YAMLError:
            continue


def classes_with_arguments(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """`{class_path: A, init_args: {…}}`, and `A: {…}` as the tables write it."""
    if isinstance(node, list):
        for entry in node:
            yield from classes_with_arguments(entry)
    if isinstance(node, dict):
        if isinstance(node.get("class_path"), str):
            yield node["class_path"], node.get("init_args") or {}
        for key, value in node.items():
            if isinstance(key, str) and DOTTED.fullmatch(key) and isinstance(value, dict) and "class_path" not in value:
                yield key, value
            yield from classes_with_arguments(value)


def test_classes_in_yaml_take_the_arguments_they_are_given():
    wrong, seen = [], 0
    for place, text in places().items():
        for node in snippets(text) if place.endswith(".md") else ():
            for path, given in classes_with_arguments(node):
                module, _, name = path.rpartition(".")
                if name in WRITTEN_BY_READERS or find_spec(path.partition(".")[0]) is None:
                    continue
                seen += 1
                kind = getattr(import_module(module), name)
                known = names(kind) if inspect.isclass(kind) else frozenset(inspect.signature(kind).parameters)
                free = {"kwargs", "params"} & known  # of libraries that hand them on
                wrong += [f"{place}: {path}.{key}" for key in given if key not in known and not free]
    assert seen > 100
    assert not wrong, "\n".join(wrong)


# --- verbs and flags -------------------------------------------------------------------------------------------------


@cache
def options(verb: str) -> frozenset[str]:
    """What a verb's help lists."""
    text = verbs.help_text(verb)
    if verb == "explore":  # its second form, which takes no config
        text += verbs.help_text("explore", "--labels")
    return frozenset(re.findall(r"(?:^ *|, )--([a-z][\w.]*)", text, re.MULTILINE)) | {"help", "config", *PLACEHOLDERS}


def is_flag(name: str, verb: str) -> bool:
    """Whether a verb, or the `fit` that it passes its flags on to, takes a flag."""
    passed = verb in ("run", "crossval", "tune") and is_flag(name, "fit")
    return passed or name in options(verb) or (name.partition(".")[0] in KEYS and "." in name and is_key(name))


def test_every_verb_in_a_command_is_one_and_takes_its_flags():
    wrong = []
    for place, text in places().items():
        for verb, rest in COMMAND.findall(text):
            if verb in ("VERB", "x"):
                continue
            if verb not in cli.VERBS:
                wrong.append(f"{place}: no verb {verb}")
                continue
            wrong += [f"{place}: {verb} --{name}" for name in FLAG.findall(rest) if not is_flag(name, verb)]
    assert not wrong, "\n".join(wrong)


def test_every_flag_is_one_of_some_verb():
    wrong = []
    for place, text in places().items():
        for line in text.splitlines() if place != "reports/page.py" else ():  # which holds a style sheet
            if re.search(r"\b(pip|pytest|git|sphinx-build|docker|kaggle|ruff|python -m)\b", line):
                continue
            unknown = {name for name in FLAG.findall(line) if not any(is_flag(name, verb) for verb in cli.VERBS)}
            wrong += [f"{place}: --{name}" for name in unknown - FOREIGN]
    assert not wrong, "\n".join(sorted(set(wrong)))


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (resolves, "datamodules.PairDataModule", "datamodules.PairModule"),
        (resolves, "postprocessing.Threshold.value", "postprocessing.Threshold.valeu"),
        (is_key, "data.reader.neighbours", "data.reader.neighbors"),
        (is_key, "model.inference.tile", "model.inference.tiles"),
        (lambda name: is_flag(name, "predict"), "time_limit", "timelimit"),
    ],
)
def test_what_is_misspelt_would_be_found(check, good, bad):
    assert check(good)
    assert not check(bad)

"""What shipped code imports is declared, and what is packaged is all that it needs."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")}
# Not imported by shipped code, and a dependency all the same.
KEPT = {"kornia": "its classes come by class_path from YAML, and benchmarks compare with it"}
# Imported where it is installed, and in no extra.
UNDECLARED = {"cudf": "comes from NVIDIA's index, under a name for each CUDA version"}
BY_IMPORT = {"neptune": "neptune", "mlflow": "mlflow", "wandb": "wandb"}  # not installed with the tests
# Libraries whose private parts or messages `compat` uses: bounded, or checked where they are used.
UNBOUNDED = {"torch", "torchvision"}  # Kaggle's own builds must stay


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def imported() -> dict[str, set[str]]:
    """Third-party top-level modules that shipped code imports, by `import` or by name -> the files that do."""
    found = defaultdict(set)
    for path in [ROOT / "cli.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
                names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            for name in names:
                top = name.partition(".")[0]
                if top not in ROOMS | {"cli"} and top not in sys.stdlib_module_names:
                    found[top].add(str(path.relative_to(ROOT)))
    return found


def declared() -> tuple[set[str], set[str]]:
    """Names of the dependencies, and of those of all extras."""
    extras = PROJECT["project"]["optional-dependencies"]
    parts = [name for extra in extras.values() for name in extra]
    return set(map(normalised, PROJECT["project"]["dependencies"])), set(map(normalised, parts))


@cache
def installed() -> Mapping[str, list[str]]:
    return packages_distributions()  # a second


def distributions(module: str) -> set[str]:
    known = installed().get(module, [])
    return set(map(normalised, known)) or {BY_IMPORT.get(module, module)}


def test_what_is_imported_is_declared():
    base, extras = declared()
    missing = {
        module: files
        for module, files in imported().items()
        if module not in UNDECLARED and not distributions(module) & (base | extras)
    }
    assert not missing


def test_what_no_file_imports_is_no_dependency():
    base, _ = declared()
    needed = set().union(*map(distributions, imported())) | {"imagecodecs"}
    assert base - needed == set(KEPT)


def test_libraries_of_compat_have_an_upper_bound():
    bounds = {normalised(text): text for text in PROJECT["project"]["dependencies"]}
    names = {"lightning": "pytorch-lightning", "smp": "segmentation-models-pytorch"}
    used = {names.get(path.stem, path.stem) for path in (ROOT / "compat").glob("*.py")} & {*bounds}
    assert used >= {"pytorch-lightning", "jsonargparse", "segmentation-models-pytorch", "albumentations"}
    assert {name for name in used if "<" not in bounds[name].split(";")[0]} == UNBOUNDED


def test_every_room_and_every_file_in_it_is_packaged():
    settings = PROJECT["tool"]["setuptools"]
    packages = set(find_packages(str(ROOT), exclude=settings["packages"]["find"]["exclude"]))
    data = settings["package-data"]
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_dir() or "__pycache__" in path.parts or path.name.startswith("."):
                continue
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert package in packages, path
            assert path.suffix == ".py" or any(path.match(pattern) for pattern in data.get(package, [])), path

"""The rooms of the house: imports run one way, no circles, no room and no file that became storage."""

import ast
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up: a room may import those before it. `compat` may be used by all.
ROOMS = [
    "compat",
    "files",
    "masks",
    "annotations",
    "preprocessing",
    "augmentations",
    "networks",
    "losses",
    "evaluation",
    "predictions",
    "postprocessing",
    "submissions",
    "inference",
    "datamodules",
    "lightning_modules",
    "callbacks",
    "loggers",
    "ensembling",
    "exploration",
    "reports",
    "experiments",
    "commands",
]
PLAIN = [
    "files",
    "masks",
    "annotations",
    "evaluation",
    "predictions",
    "postprocessing",
    "submissions",
    "ensembling",
    "preprocessing",
]
LONGEST = 400  # lines; a file past that is two ideas


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def sources() -> dict[str, Path]:
    return {module_of(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports anywhere, inside functions and under TYPE_CHECKING too."""
    known, found = sources(), defaultdict(set)
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found[module] |= {name for name in names if name in known and name != module}
    return found


def test_every_folder_with_code_is_a_room():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks", "docs"}
    assert packages == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_downwards(room):
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    upwards = {
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if module.split(".")[0] == room and other.split(".")[0] in above
    }
    assert not upwards


def test_there_are_no_circles_between_modules():
    """Packages that only gather what lies in them are left out: every import of a submodule runs them first."""
    graph = {module: others for module, others in imports().items() if sources()[module].name != "__init__.py"}
    state: dict[str, int] = {}

    def visit(module: str, way: list[str]) -> None:
        state[module] = 1
        for other in sorted(graph.get(module, ())):
            if other in graph:
                assert state.get(other) != 1, " -> ".join([*way, module, other])
                if other not in state:
                    visit(other, [*way, module])
        state[module] = 2

    for module in graph:
        if module not in state:
            visit(module, [])


def test_no_room_is_storage():
    lines = {room: sum(len(p.read_text().splitlines()) for p in (ROOT / room).rglob("*.py")) for room in ROOMS}
    shares = sorted(((count / sum(lines.values()), room) for room, count in lines.items()), reverse=True)
    assert shares[0][0] <= 0.25, shares[0]
    assert all(share <= 0.18 for share, _ in shares[1:]), shares


def test_no_file_is_two_ideas():
    long = {module: n for module, path in sources().items() if (n := len(path.read_text().splitlines())) > LONGEST}
    assert not long


def imported(tree: ast.AST) -> set[str]:
    """Names of the modules that a file imports anywhere, inside functions too; not where only a type is asked about."""
    typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    nodes = [node for node in ast.walk(tree) if node not in typed]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("room", PLAIN)
def test_rooms_of_plain_arrays_import_neither_torch_nor_lightning(room):
    heavy = {
        f"{module} imports {name}"
        for module, path in sources().items()
        if module.split(".")[0] == room
        for name in imported(ast.parse(path.read_text()))
        if name.split(".")[0] in ("torch", "pytorch_lightning", "torchmetrics", "torchvision", "kornia", "monai")
    }
    assert not heavy


@pytest.mark.parametrize("room", PLAIN)
def test_rooms_of_plain_arrays_work_where_torch_is_not_loaded(room):
    """Whatever they import from other rooms and libraries, each in a process of its own."""
    modules = [module for module in sources() if module.split(".")[0] == room]
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name\n"
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

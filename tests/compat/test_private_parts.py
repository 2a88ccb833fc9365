"""Private parts of libraries are touched in `compat` alone."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
MADE = {"_abc_impl", "_is_protocol", "_backward_cls"}  # by Python and torch, in every class of a kind
DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples, of os
BY_NAME = ("getattr", "setattr", "hasattr", "delattr")


def shipped() -> list[Path]:
    return [ROOT / "cli.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def own_names(trees: list[ast.AST]) -> set[str]:
    """What our code defines: functions, classes, fields and variables of theirs, and what `self.x = …` sets."""
    names: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and on_self(node):
            names.add(node.attr)
    return names


def on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def foreign_uses(tree: ast.AST, own: set[str]) -> list[str]:
    """Private attributes that none of our code defines, also by `getattr`, and imports of private names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            ours = (node.module or "").partition(".")[0] in ROOMS
            names = [] if ours else [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in BY_NAME:
            names = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
        else:
            continue
        found += [f"line {node.lineno}: {name}" for name in names if private(name) and name not in own]
    return found


def test_private_parts_of_libraries_are_used_in_compat_alone():
    trees = {path: ast.parse(path.read_text()) for path in shipped() if path.parent.name != "compat"}
    own = own_names(list(trees.values()))
    used = {str(path.relative_to(ROOT)): uses for path, tree in trees.items() if (uses := foreign_uses(tree, own))}
    assert not used, f"move them into compat/<library>.py, with version and reason: {used}"


@pytest.mark.parametrize(
    "line",
    [
        "loop._results = 1",
        "x = self._average_model",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "import torch._inductor",
        "torch._foreach_lerp_(a, b, 1)",
        "getattr(action, '_typehint', None)",
    ],
)
def test_a_private_part_is_seen(line):
    assert foreign_uses(ast.parse(line), own={"_ours"})


def test_no_class_of_ours_replaces_a_private_method_of_a_library():
    """It would be called by the library, in a way that the next version may change."""
    replaced = set()
    for path in shipped():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for kind in vars(import_module(name)).values():
            if not inspect.isclass(kind) or kind.__module__ != name:
                continue
            foreign = [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in {*ROOMS, "builtins"}]
            for member in vars(kind):
                if private(member) and member not in MADE and any(member in vars(base) for base in foreign):
                    replaced.add(f"{name}.{kind.__name__}.{member}")
    assert not replaced

"""Whatever shipped code writes appears at once: by `files`, or for a reason that stands here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
ATOMIC = ("atomic_path", "atomic_folder")
WRITERS = {  # methods and functions that write the path they are given
    "write_text", "write_bytes", "to_csv", "to_json", "to_parquet", "savefig", "imwrite", "save", "savez",
    "savez_compressed", "savetxt", "tofile", "dump", "safe_dump", "copyfile", "copy2", "copytree", "replace", "rename",
    "move", "mkstemp", "mkdtemp", "NamedTemporaryFile", "ZipFile",
}  # fmt: skip
LISTED = {
    # file, call: reason
    ("experiments/processes.py", "open"): "the log of a process, at whose end it writes",
    ("loggers/metrics_csv.py", "open"): "a line is added at the end; what a power cut leaves of the last is not read",
    (
        "experiments/prepared_split.py",
        "open",
    ): "a line for each image that is done is added at the end, and written anew at last",
    ("predictions/entry.py", "ZipFile"): "a file that is written strip by strip; `publish` gives it its name",
    ("callbacks/checkpoint_io.py", "open"): "the temporary file of `atomic_path`, in a function of its own",
    ("callbacks/checkpoint_io.py", "save"): "as above",
    ("callbacks/checkpoint_io.py", "replace"): "a complete file gets a second name",
    ("experiments/lease.py", "open"): "only one process can create it; an unreadable one counts as taken for a minute",
    ("experiments/lease.py", "replace"): "the file of a dead process is put away by one of several others",
    ("submissions/base.py", "open"): "the temporary file that `write` renames",
    ("submissions/coco.py", "write_text"): "as above",
    ("submissions/image_files.py", "ZipFile"): "as above",
    ("submissions/geotiffs.py", "open"): "a file in the temporary folder that `write` renames",
    ("submissions/class_images.py", "save"): "a file in the temporary folder that `write` renames",
    ("submissions/instance_images.py", "imwrite"): "as above",
}


def shipped() -> list[Path]:
    return [ROOT / "cli.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each call that writes a path, outside `with atomic_path(…)`."""
    covered: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            names = [item.context_expr.func.id for item in node.items if isinstance(item.context_expr, ast.Call)
                     and isinstance(item.context_expr.func, ast.Name)]  # fmt: skip
            if set(names) & set(ATOMIC):
                covered |= set(ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node not in covered and (name := writer(node)) is not None:
            yield node.lineno, name


def writer(call: ast.Call) -> str | None:
    """The name of what a call writes by; None where it writes no path."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(call.func, "value", None)
    texts = [value.value for value in (*call.args, *(word.value for word in call.keywords))
             if isinstance(value, ast.Constant) and isinstance(value.value, str)]  # fmt: skip
    if name in ("open", "fdopen", "ZipFile"):
        return name if any(set(text) & set("wxa") and len(text) <= 3 for text in texts) else None
    if name not in WRITERS or (name in ("write_text", "write_bytes") and owner is None):  # those are of `files`
        return None
    if name in ("replace", "rename", "move", "copyfile", "copy2", "copytree"):  # of strings and dataclasses: no path
        return (
            name if getattr(owner, "id", "") in ("os", "shutil") or name == "rename" and len(call.args) == 1 else None
        )
    if name in ("dump", "safe_dump"):
        return name if len(call.args) > 1 and getattr(owner, "id", "") in ("yaml", "json", "pickle") else None
    if name == "to_csv":
        return name if call.args else None  # without a path it gives the text
    if name == "save":  # of a library; ours write by `files`
        return name if getattr(owner, "id", "") in ("np", "numpy", "torch", "cv2", "image", "picture") else None
    return name


@pytest.mark.parametrize("path", shipped(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_written_half(path):
    if path.parent == ROOT / "files":
        pytest.skip("the writers themselves")
    name = str(path.relative_to(ROOT))
    found = {f"line {line}: {call}" for line, call in writes(ast.parse(path.read_text())) if (name, call) not in LISTED}
    assert not found, "write by files.writing or files.atomic"


def test_every_reason_is_still_one():
    for name, call in LISTED:
        assert call in {found for _, found in writes(ast.parse((ROOT / name).read_text()))}, (name, call)


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')", "path.open('wb')", "open(path, mode='a')", "path.write_text('')", "frame.to_csv(path)",
        "np.save(path, array)", "os.replace(a, b)", "torch.save(state, path)", "yaml.safe_dump(content, handle)",
        "cv2.imwrite(path, image)", "figure.savefig(path)", "shutil.copyfile(a, b)",
    ],
)  # fmt: skip
def test_a_write_is_seen(code):
    assert list(writes(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "open(path)", "open(path, 'rb')", "text.replace('a', 'w')", "frame.to_csv(index=False)",
        "yaml.safe_dump(content)", "write_text(path, '')",
        "with atomic_path(p) as t:\n    torch.save(state, t)", "with atomic_path(p) as t, open(t, 'w') as h:\n    pass",
    ],
)  # fmt: skip
def test_what_does_not_write_is_left_alone(code):
    assert not list(writes(ast.parse(code)))

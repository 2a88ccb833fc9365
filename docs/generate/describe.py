"""The section of a class or function on a page: YAML, docstring, arguments, example."""

import inspect
import re
import textwrap
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

import yaml
from docstring_parser import Docstring, DocstringStyle, parse
from jsonargparse import ArgumentParser

PARTS = ("datamodules.plain", "datamodules.loading")  # modules of classes that no config names


def docstring(value: Any) -> Docstring:
    """Parse the docstring of a class or function, without inherited ones."""
    return parse(inspect.cleandoc(value.__doc__ or ""), style=DocstringStyle.GOOGLE)


def section(path: str, value: Any, term: str | None = None, heading: str | None = None) -> str:
    """Return the Markdown section of a class or function.

    Args:
        path: path in YAML; target of links.
        value: class or function.
        term: name in the loss formula, for a loss.
        heading: title of the section (default: last part of the path).
    """
    text = docstring(value)
    lines = [f"({path})=", f"## {heading or path.rpartition('.')[2]}", ""]
    lines += [line for part in (text.short_description, text.long_description) if part for line in (part, "")]
    if heading is None and not inspect.isabstract(value):
        lines += ["```text", formula(term, value), "```"] if term else ["```yaml", snippet(path, value), "```"]
    lines += ["", *arguments(value)]
    if inspect.isabstract(value) and heading is None:
        lines += methods(value)
    for error in text.raises:
        lines += [f"Raises `{error.type_name}`: {flat(error.description)}", ""]
    for example in text.examples:
        lines += ["```python", (example.description or "").strip(), "```", ""]
    return "\n".join(lines)


def flat(text: str | None) -> str:
    """Join a text to one line."""
    return " ".join((text or "").split())


@cache
def names(value: Any) -> list[str]:
    """Return the arguments that a config can set, including those of base classes."""
    parser = ArgumentParser()
    if inspect.isclass(value):
        added = parser.add_class_arguments(value, "it", fail_untyped=False)
    else:
        added = parser.add_function_arguments(value, "it", fail_untyped=False)
    return [name.removeprefix("it.") for name in added if "." not in name.removeprefix("it.")]


def is_part(kind: Any) -> bool:
    """Whether a class is described where one stands on top of it: of a datamodule, what works without torch."""
    return kind.__module__.startswith(PARTS)


def parameter(value: Any, name: str) -> tuple[inspect.Parameter | None, Any]:
    """Return the parameter of an argument, and the class (itself or a base) that documents it."""
    owner = value
    for base in inspect.getmro(value) if inspect.isclass(value) else [value]:
        owner = owner if is_part(base) else base
        called = base.__dict__.get("__init__") if inspect.isclass(base) else base
        found = inspect.signature(called).parameters.get(name) if callable(called) else None
        if found is not None:
            makers = {field.name: field.default_factory for field in fields(base)} if is_dataclass(base) else {}
            made = makers.get(name, MISSING)
            return (found if made is MISSING else found.replace(default=made())), owner
    return None, value


def arguments(value: Any) -> list[str]:
    """Return a bullet per argument; arguments documented by a base class are listed by name only."""
    own, inherited = [], {}
    parts = [base for base in inspect.getmro(value) if is_part(base)] if inspect.isclass(value) else []
    described = {item.arg_name: item.description for part in [*parts, value] for item in docstring(part).params}
    for name in names(value):
        entry, owner = parameter(value, name)
        if owner is value or name in {item.arg_name for item in docstring(value).params}:
            own.append(bullet(name, entry, described.get(name)))
        else:
            inherited.setdefault(owner, []).append(name)
    lines = [*own, ""] if own else []
    for owner, taken in inherited.items():
        lines += [f"Arguments of `{owner.__name__}`: {', '.join(f'`{name}`' for name in taken)}.", ""]
    return lines


def bullet(name: str, entry: inspect.Parameter | None, description: str | None) -> str:
    """`name` (type, default) — description."""
    facts = []
    if entry is not None and entry.annotation is not entry.empty:
        facts.append(f"`{type_text(entry.annotation)}`")
    if entry is not None:
        facts.append("required" if entry.default is entry.empty else f"default `{scalar(entry.default)}`")
    return f"- **`{name}`** ({', '.join(facts)}) – {flat(description)}".removesuffix(" – ")


def type_text(annotation: Any) -> str:
    """Return an annotation without module names."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "None")


def scalar(default: Any) -> str:
    """Return a default value as YAML."""
    value = list(default) if isinstance(default, tuple) else default
    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    except yaml.YAMLError:  # a class, or an object of one
        text = f"{value.__module__}.{value.__qualname__}" if inspect.isclass(value) else repr(value)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def snippet(path: str, value: Any) -> str:
    """Return the YAML of a class with its own arguments at their defaults, ready to copy."""
    lines = []
    described = {item.arg_name for item in docstring(value).params}
    for name in names(value):
        entry, owner = parameter(value, name)
        if entry is None or (owner is not value and name not in described):
            continue
        required = entry.default is entry.empty
        lines.append(f"  {name}:  # required" if required else f"  {name}: {scalar(entry.default)}")
    return "\n".join([f"class_path: {path}", *(["init_args:", *lines] if lines else [])])


def formula(term: str, value: Any) -> str:
    """Return a term of the loss formula with the arguments of the loss at their defaults."""
    taken = [(name, parameter(value, name)[0]) for name in names(value)]
    given = [
        f"{name}=…" if entry.default is entry.empty else f"{name}={scalar(entry.default)}" for name, entry in taken
    ]
    return f"{term}({', '.join(['output', *given])})"


def methods(value: type) -> list[str]:
    """Return the abstract methods, which subclasses implement, with their docstrings."""
    lines = ["Subclasses implement:", ""]
    for name in sorted(value.__abstractmethods__):
        method = inspect.getattr_static(value, name)
        method = method.fget if isinstance(method, property) else method
        text = parse(inspect.cleandoc(method.__doc__ or ""), style=DocstringStyle.GOOGLE)
        said = [flat(part) for part in (text.short_description, text.long_description) if part]
        lines.append(f"- `{name}{signature(method)}` – {' '.join(said)}".removesuffix(" – "))
        lines += textwrap.indent(
            "\n".join(f"- **`{item.arg_name}`** – {flat(item.description)}" for item in text.params), "  "
        ).splitlines()
    return [*lines, ""]


def signature(method: Any) -> str:
    """Return a signature without module names, such as `(prediction, targets) -> ndarray`."""
    found = inspect.signature(method)
    taken = ", ".join(name for name in found.parameters if name != "self")
    returned = "" if found.return_annotation is found.empty else f" -> {type_text(found.return_annotation)}"
    return f"({taken}){returned}"

"""A class or function as a section of a page: its YAML, what its docstring says, its arguments, its example."""

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
    """The docstring of a class or function, taken apart; its own, not an inherited one."""
    return parse(inspect.cleandoc(value.__doc__ or ""), style=DocstringStyle.GOOGLE)


def section(path: str, value: Any, term: str | None = None, heading: str | None = None) -> str:
    """Markdown of one class or function.

    Args:
        path: the path that YAML takes; pages link to it.
        value: the class or function.
        term: its name in a loss formula, where it is a loss.
        heading: title of the section; the last part of the path unless given.
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
    """Text on one line."""
    return " ".join((text or "").split())


@cache
def names(value: Any) -> list[str]:
    """The arguments that a config can set, those of a base class too."""
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
    """The signature's entry of an argument, and the class (it or a base) that is described with it."""
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
    """A bullet for each argument; those that a base class takes and documents by name only."""
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
        lines += [f"And those of `{owner.__name__}`: {', '.join(f'`{name}`' for name in taken)}.", ""]
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
    """An annotation without the modules of the classes in it."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "None")


def scalar(default: Any) -> str:
    """A default as YAML writes it."""
    value = list(default) if isinstance(default, tuple) else default
    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    except yaml.YAMLError:  # a class, or an object of one
        text = f"{value.__module__}.{value.__qualname__}" if inspect.isclass(value) else repr(value)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def snippet(path: str, value: Any) -> str:
    """The YAML of a class with its own arguments at their defaults, ready to be copied."""
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
    """A term of a loss formula with the arguments of the loss at their defaults."""
    taken = [(name, parameter(value, name)[0]) for name in names(value)]
    given = [
        f"{name}=…" if entry.default is entry.empty else f"{name}={scalar(entry.default)}" for name, entry in taken
    ]
    return f"{term}({', '.join(['output', *given])})"


def methods(value: type) -> list[str]:
    """What a subclass writes: the abstract methods, with their docstrings."""
    lines = ["A subclass writes:", ""]
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
    """`(prediction, truth) -> ndarray`, with the modules of types left out."""
    found = inspect.signature(method)
    taken = ", ".join(name for name in found.parameters if name != "self")
    returned = "" if found.return_annotation is found.empty else f" -> {type_text(found.return_annotation)}"
    return f"({taken}){returned}"

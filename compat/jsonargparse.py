"""Private parts of jsonargparse, as they are in 4.53, and what it says of a wrong config, cause first.

`pyproject.toml` keeps it below 4.54.
"""

import difflib
import inspect
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# A tuple becomes a list in YAML, which every library here takes too.
IGNORED_WARNINGS = ("(?s).*does not round-trip",)


def integers_first(parser: "ArgumentParser") -> None:
    """Let `1` be an integer for arguments of numbers: of `trainer.limit_val_batches` 1 is one batch, 1.0 all of them.

    `typing` takes `int | float` and `float | int` for the same, and where a library has asked for the second one first,
    a signature shows floats first. The type of an argument has no public name once it is added.
    """
    action: Any
    for action in parser._actions:
        if getattr(action, "_typehint", None) == float | int | None:
            action._typehint = Union[int, float, None]  # noqa: UP007 (only `typing` keeps the order)


def flags_of(parser: "ArgumentParser") -> list[str]:
    """The flags of a parser and of its subcommands, without dashes; argparse lists them nowhere in public."""
    children = [
        child for action in parser._actions for child in (getattr(action, "_name_parser_map", None) or {}).values()
    ]
    actions = [action for one in (parser, *children) for action in one._actions]
    return [option.lstrip("-") for action in actions for option in action.option_strings if option.startswith("--")]


@contextmanager
def own_words() -> Iterator[None]:
    """Around the building of a config's classes: what a constructor refuses is raised as the constructor said it.

    jsonargparse puts it below "Does not validate against any of the Union subtypes" and the whole config.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        said: BaseException | None = error
        while said is not None and "jsonargparse" in traceback.extract_tb(said.__traceback__)[-1].filename:
            said = said.__cause__ or said.__context__
        if said is None or said is error:
            raise
        raise said from None


def cause_first(message: str, options: Iterable[str] = ()) -> str:
    """jsonargparse's text with the innermost cause on the first line and the way to it below.

    jsonargparse wraps a wrong key or class three deep ("Parser key …: Problem with given class_path … Validation
    failed … Key … is not expected"); people read the first line only.

    Args:
        message: jsonargparse's text.
        options: what the command line takes, such as `trainer.max_epochs`: the nearest is named beside a wrong one.
    """
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    # "or nothing at all" is an alternative of every optional argument, never the cause.
    lines = [line for line in lines if "NoneType" not in line and not line.startswith("Given value")]
    causes = [line for line in lines if _is_cause(line)]
    cause = _shorten(causes[-1] if causes else lines[-1] if lines else message)
    empty = ("Does not validate against any of the Union subtypes", "Errors:")
    context = [_shorten(line) for line in lines if _shorten(line) != cause and not line.startswith(empty)][:6]
    near = _nearest(message, list(options))
    hint = f"; did you mean {near!r}?" if near else ""
    return "\n".join([f"error: {cause}{hint}", *(f"  {line}" for line in context)])


def _is_cause(line: str) -> bool:
    phrases = (
        "not expected",
        "is required",
        "does not accept",
        "is not accepted",
        "No module named",
        "not a subclass",
        "Unable to load",
    )
    return any(
        phrase in line for phrase in (*phrases, "Expected a", "has no attribute", "No such file", "not correspond")
    )


def _shorten(line: str, longest: int = 300) -> str:
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _nearest(message: str, options: list[str]) -> str | None:
    """The known name nearest to a wrong one: of a module's classes, a class's arguments, or `options`."""
    missing = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message)
    if missing:
        module = import_module(missing[1])
        names = {*dir(module), *getattr(module, "__all__", ())}  # some packages import what they export when asked
        return _closest(missing[2], sorted(name for name in names if inspect.isclass(getattr(module, name, None))))
    wrong = re.search(r"[oO]ption '([\w.]+)'|unrecognized arguments: --([\w.]+)|Key '([\w.]+)' is not", message)
    if not wrong:
        return None
    name = next(filter(None, wrong.groups()))
    classes = re.findall(r"class_path '([\w.]+)'", message[: wrong.start()])
    if classes:
        module, _, class_name = classes[-1].rpartition(".")
        options = _arguments(getattr(import_module(module), class_name))
    near = _closest(name, options)
    if near is None and "." in name:  # modl.loss: what lies below `model` is known only to its class
        first, _, rest = name.partition(".")
        near = _closest(first, sorted({option.partition(".")[0] for option in options}))
        near = near and f"{near}.{rest}"
    return near if near != name else None


def _arguments(kind: type) -> list[str]:
    """The arguments of a class's constructor, and those of its bases that it hands on to."""
    from jsonargparse import ArgumentParser  # here: every start of the command line reads this file

    added = ArgumentParser().add_class_arguments(kind, "it", fail_untyped=False)
    return [name.removeprefix("it.") for name in added]


def _closest(name: str, known: list[str]) -> str | None:
    """By spelling, capitals aside."""
    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[near[0]] if near else None


def innermost(message: str) -> str:
    """The line of an error that says what is wrong, without what jsonargparse wraps around it."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    wrapped = ("Problem with given class_path", "Subtypes: ", "Errors:", "Expected a")
    told = [line for line in lines if not line.startswith(wrapped) and "any of the Union subtypes" not in line]
    return (told or lines or [""])[0][:300]

"""Private parts of jsonargparse 4.53, and its error messages with the cause first.

`pyproject.toml` keeps it below 4.54.
"""

import difflib
import inspect
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# A tuple becomes a list in YAML, which all libraries used here also accept.
IGNORED_WARNINGS = ("(?s).*does not round-trip",)


def null_of_nested_classes() -> None:
    """Parse `--model.network.encoder_weights null` as null.

    The argument of a class inside another class is parsed twice, and between the two null is written as `None`, which
    the second time would be a string. A text that is `None` and nothing else is null for all parsers.
    """
    import yaml
    from jsonargparse import get_loader, set_loader  # on demand: this module is imported by every start

    load = get_loader("yaml")

    @wraps(load)
    def loaded(text: str, *args: Any, **kwargs: Any) -> Any:
        return None if text.strip() == "None" else load(text, *args, **kwargs)

    if not hasattr(load, "__wrapped__"):
        set_loader("yaml", loaded, exceptions=(yaml.YAMLError,))


def integers_first(parser: "ArgumentParser") -> None:
    """Parse `1` as an integer for numeric arguments: `trainer.limit_val_batches` 1 is one batch, 1.0 all batches.

    `typing` takes `int | float` and `float | int` for the same, and where a library has asked for the second one first,
    a signature shows floats first. The type of an argument has no public name once it is added.
    """
    action: Any
    for action in parser._actions:
        if getattr(action, "_typehint", None) == float | int | None:
            action._typehint = Union[int, float, None]  # noqa: UP007 (only `typing` keeps the order)


def flags_of(parser: "ArgumentParser") -> list[str]:
    """Flags of a parser and its subcommands, without dashes; argparse has no public list of them."""
    children = [
        child for action in parser._actions for child in (getattr(action, "_name_parser_map", None) or {}).values()
    ]
    actions = [action for one in (parser, *children) for action in one._actions]
    return [option.lstrip("-") for action in actions for option in action.option_strings if option.startswith("--")]


@contextmanager
def unwrap_parser_errors() -> Iterator[None]:
    """Context for instantiating a config's classes: errors of constructors are raised unwrapped.

    jsonargparse wraps them in "Does not validate against any of the Union subtypes" and the whole config.
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
    """Reorder jsonargparse's message: the innermost cause on the first line, its context below.

    jsonargparse wraps an invalid key or class three levels deep ("Parser key …: Problem with given class_path …
    Validation failed … Key … is not expected"); users read the first line only.

    Args:
        message: message of jsonargparse.
        options: valid options, such as `trainer.max_epochs`; the closest one to an invalid option is suggested.
    """
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    # None is an alternative of every optional argument, never the cause.
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
    """Closest valid name to an invalid one, among a module's classes, a class's arguments or `options`."""
    missing = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message)
    if missing:
        module = import_module(missing[1])
        names = {*dir(module), *getattr(module, "__all__", ())}  # some packages import their exports on access
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
    if near is None and "." in name:  # modl.loss: keys below `model` are known only to its class
        first, _, rest = name.partition(".")
        near = _closest(first, sorted({option.partition(".")[0] for option in options}))
        near = near and f"{near}.{rest}"
    return near if near != name else None


def _arguments(kind: type) -> list[str]:
    """Arguments of a class's constructor, including those passed on to its bases."""
    from jsonargparse import ArgumentParser  # imported on demand, as every start of the command line reads this file

    added = ArgumentParser().add_class_arguments(kind, "it", fail_untyped=False)
    return [name.removeprefix("it.") for name in added]


def _closest(name: str, known: list[str]) -> str | None:
    """Closest known name by case-insensitive spelling."""
    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[near[0]] if near else None


def innermost(message: str) -> str:
    """Line of an error message with the cause, without jsonargparse's wrapping."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    wrapped = ("Problem with given class_path", "Subtypes: ", "Errors:", "Expected a")
    told = [line for line in lines if not line.startswith(wrapped) and "any of the Union subtypes" not in line]
    return (told or lines or [""])[0][:300]

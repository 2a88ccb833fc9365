"""`data` for verbs that work on files alone: the plain class instead of the datamodule, without loader keys."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from datamodules.plain import offline_class
from experiments.fit_settings import Flag


def plain_data(contents: Sequence[dict[str, Any]], flags: Sequence[Flag]) -> tuple[list[dict[str, Any]], list[Flag]]:
    """Replace the datamodule in configs and flags by its plain class, which needs neither torch nor Lightning.

    Classes of forks and configs with unknown arguments are left unchanged: the class is built, or
    rejects the argument, as in training.

    Args:
        contents: contents of the configs, in order.
        flags: flags of the command line.
    """
    parts = [_part(content.get("data")) for content in contents]
    given = {flag.key: flag.value for flag in flags}
    paths = [part["class_path"] for part in parts if "class_path" in part]
    path = given.get("data.class_path") or given.get("data") or (paths[-1] if paths else "")
    names = {name for part in parts for name in part.get("init_args") or {}}
    names |= {name for flag in flags if (name := _argument(flag)) is not None}
    offline = offline_class(str(path), names)
    if offline is None:
        return list(contents), list(flags)
    plain_path, kept = offline
    found = []
    for content, part in zip(contents, parts, strict=True):
        own = {"class_path": plain_path} if "class_path" in part else {}
        arguments = {name: value for name, value in (part.get("init_args") or {}).items() if name in kept}
        own |= {"init_args": arguments} if arguments else {}
        found.append(content | {"data": own} if own else {k: v for k, v in content.items() if k != "data"})
    left = [
        replace(flag, value=plain_path) if flag.key in ("data", "data.class_path") else flag
        for flag in flags
        if (name := _argument(flag)) is None or name in kept
    ]
    return found, left


def _part(data: Any) -> dict[str, Any]:
    """`data` of a config as a mapping; it may be a class path alone."""
    return data if isinstance(data, dict) else {} if data is None else {"class_path": str(data)}


def _argument(flag: Flag) -> str | None:
    """Datamodule argument set by a flag: `reader` for `--data.reader.channels`."""
    section, _, rest = flag.key.partition(".")
    name = rest.partition(".")[0].rstrip("+")
    return name if section == "data" and name not in ("", "class_path", "help", "init_args") else None

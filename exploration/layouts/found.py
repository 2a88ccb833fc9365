"""Results of looking at images and labels."""

from dataclasses import dataclass, field
from typing import Any, Literal

TARGETS = "datamodules.targets"  # folder of the target classes in YAML
Task = Literal[
    "mask",  # one mask per image
    "classes",  # one class per pixel
    "instances",  # numbered objects
    "classed_instances",  # numbered objects with a class each
    "boxes",  # boxes with a class each
    "label",  # one class per image
    "multi",  # several classes per image
    "number",  # a number per image
]


@dataclass
class Entry:
    """A class in YAML.

    Args:
        class_path: path of the class.
        init_args: its arguments, plain values.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)


@dataclass
class LabelsFound:
    """Labels of a data set.

    Args:
        task: what a network can learn from them.
        targets: entries of `data.targets`.
        classes: class names; of class maps with the background as the first.
        submission: entry of `competition.submission`, or None if no format fits.
        data: further keys of `data.init_args`.
        found: sentences on what was found.
        assumed: sentences on what was assumed, each with what to change if it is wrong.
        images: new pattern of the images, if ids must be taken from another part of their names.
        split: whether the targets find their files in other splits of the images too.
    """

    task: Task
    targets: list[Entry]
    classes: list[str]
    submission: Entry | None
    data: dict[str, Any] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    images: str | None = None
    split: bool = False


def evenly(items: list[Any], count: int) -> list[Any]:
    """At most so many items, evenly spread over a list."""
    if len(items) <= count:
        return items
    return [items[place * len(items) // count] for place in range(count)]


def few(items: list[Any], count: int = 8) -> str:
    """The first items of a list as text."""
    return ", ".join(map(str, items[:count])) + (f", … ({len(items)})" if len(items) > count else "")

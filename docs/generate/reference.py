"""The pages of the reference: one per package, and one each for verbs, keys and configs."""

import inspect
from importlib import import_module

from docs.generate import configs, verbs
from docs.generate.describe import section
from docs.generate.objects import ROOTS, class_named, packages, public
from losses import known_losses
from losses.formula import loss_class

TITLES = {  # by the last part of the package name; others keep their name
    "augmentations": "Augmentations",
    "callbacks": "Callbacks",
    "datamodules": "Kinds of data",
    "evaluation": "Metrics and folds",
    "external": "External data",
    "inference": "Inference: tiles and views",
    "lightning_modules": "Tasks and schedules",
    "losses": "Losses",
    "networks": "Networks",
    "postprocessing": "Post-processing",
    "preprocessing": "Preprocessing",
    "readers": "Readers",
    "samplers": "Samplers",
    "submissions": "Submission formats",
    "targets": "Targets",
}
KEYS = dict(zip(("model", "data", "competition", "cv"), ROOTS, strict=True))


def pages() -> dict[str, str]:
    """Return file name -> Markdown for all pages of the reference."""
    found = {"verbs.md": verbs.page(), "keys.md": keys_page(), "configs.md": configs.page(), "losses.md": losses_page()}
    titles = {"verbs": "Verbs", "keys": "Keys of a config", "configs": "Configs", "losses": TITLES["losses"]}
    described: set[int] = set()
    for package in packages():
        # An object exported by a package and its subpackage is described once, under the shorter path.
        objects = {path: value for path, value in public(package).items() if id(value) not in described}
        described |= set(map(id, objects.values()))
        if objects and package != "losses":
            found[f"{package}.md"] = package_page(package, objects)
            titles[package] = title(package)
    return found | {"index.md": index_page(titles)}


def index_page(titles: dict[str, str]) -> str:
    """Return the index page of the reference."""
    names = list(titles)
    lines = [
        "# Reference",
        "",
        "Generated from the code when the site is built.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
    ]
    return "\n".join([*lines, *names[:4], *sorted(names[4:], key=lambda name: titles[name]), "```", ""])


def title(package: str) -> str:
    """Return the title of a package's page."""
    return TITLES.get(package.rpartition(".")[2], package.rpartition(".")[2].replace("_", " ").capitalize())


def package_page(package: str, objects: dict[str, object]) -> str:
    """Return the page of all objects of a package that a config can use; base classes come last."""
    lines = [f"# {title(package)}", "", inspect.cleandoc(import_module(package).__doc__ or ""), ""]
    ordered = sorted(objects, key=lambda path: (inspect.isabstract(objects[path]), path.rpartition(".")[2].lower()))
    return "\n".join([*lines, *(section(path, objects[path]) for path in ordered)])


def losses_page() -> str:
    """Return the page of the formula and all losses, under their names in the formula."""
    lines = [f"# {TITLES['losses']}", "", inspect.cleandoc(import_module("losses").__doc__ or ""), ""]
    lines.append(section("losses.LossFormula", import_module("losses").LossFormula, heading="The formula"))
    lines += [section(f"losses.{name}", loss_class(name), term=name) for name in known_losses()]
    return "\n".join(lines)


def keys_page() -> str:
    """Return the page of the keys of `model`, `data`, `competition` and `cv`; `trainer` is Lightning's."""
    lines = [
        "# Keys of a config",
        "",
        "Every key is also a flag: `--data.batch_size 8`. Flags omit `init_args`.",
        "`trainer` takes the arguments of",
        "[Lightning's `Trainer`](https://lightning.ai/docs/pytorch/stable/common/trainer.html#trainer-class-api);",
        "other keys (`ema`, `early_stopping`, `stages`, …) are options of [`fit`](#verb-fit).",
    ]
    for key, name in KEYS.items():
        kind = class_named(name)
        lines += ["", section(f"key-{key}", kind, heading=f"{key}: {name}")]
    return "\n".join(lines) + "\n"

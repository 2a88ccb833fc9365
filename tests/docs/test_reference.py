"""The reference that the site is built from: whole, and in the words of the code."""

import re
from pathlib import Path

import pytest
import yaml

from docs.generate import configs, verbs
from docs.generate.describe import arguments, docstring, names, parameter, section, snippet
from docs.generate.objects import class_named, config_types, packages, public
from docs.generate.reference import index_page, keys_page, losses_page, package_page
from losses import known_losses
from postprocessing import Clusters, Step

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def objects():
    return {path: value for package in packages() for path, value in public(package).items()}


def class_paths(node):
    """Every class_path in a parsed YAML."""
    if isinstance(node, dict):
        yield from [node["class_path"]] if isinstance(node.get("class_path"), str) else []
        node = list(node.values())
    if isinstance(node, list):
        for entry in node:
            yield from class_paths(entry)


def test_what_configs_name_of_ours_is_documented(objects):
    files = (ROOT / "configs").rglob("*.yaml")
    named = {path for file in files for path in class_paths(yaml.safe_load(file.read_text()))}
    rooms = {package.partition(".")[0] for package in packages()}
    ours = {path for path in named if path.partition(".")[0] in rooms}
    assert len(ours) > 30
    lacking = [path for path in sorted(ours) if path not in objects and not unexported(path)]
    assert not lacking


def unexported(path):
    """Whether a path leads to a class whose base a config does not ask for by type: it is nobody's to choose."""
    kind = class_named(path.rpartition(".")[2])
    return not issubclass(kind, config_types())


def test_every_docstring_can_be_taken_apart_and_names_only_arguments_that_exist(objects):
    wrong = [
        f"{path}: {item.arg_name}"
        for path, value in objects.items()
        for item in docstring(value).params
        if item.args[0] == "param" and parameter(value, item.arg_name)[0] is None
    ]
    assert not wrong


def test_a_section_has_yaml_arguments_and_the_example():
    text = section("postprocessing.Clusters", Clusters)
    assert yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])["init_args"]["connectivity"] == 26
    assert "- **`value`** (`float`, default `0.5`)" in text
    assert ">>> candidates = Clusters" in text


def test_a_base_class_says_what_a_subclass_writes():
    text = section("postprocessing.Step", Step)
    assert "- `__call__(prediction) -> dict[str, ndarray]`" in text
    assert "class_path" not in text


def test_inherited_arguments_are_named_once():
    kind = class_named("ImageDataModule")
    assert "root" in names(kind)
    assert any(line.startswith("Arguments of `BaseDataModule`: `root`") for line in arguments(kind))


def test_yaml_of_every_class_parses(objects):
    for path, value in objects.items():
        assert yaml.safe_load(snippet(path, value))["class_path"] == path


def test_a_default_that_a_dataclass_makes_is_shown():
    assert "- **`postprocess`** (`list[Step]`, default `[]`)" in "\n".join(arguments(class_named("Competition")))


def test_pages_hold_every_loss_key_and_package(objects):
    losses, keys = losses_page(), keys_page()
    assert all(f"(losses.{name})=" in losses for name in known_losses())
    assert all(f"(key-{key})=" in keys for key in ("model", "data", "competition", "cv"))
    assert "**`k`** (`int`, default `5`)" in keys
    page = package_page("postprocessing", public("postprocessing"))
    assert page.count("\n## ") == len(public("postprocessing"))
    assert "verbs\nkeys" in index_page({"verbs": "", "keys": "", "configs": "", "losses": ""})


def test_configs_have_their_head_and_their_text():
    page = configs.page()
    files = list((ROOT / "configs").rglob("*.yaml"))
    assert page.count(":::{dropdown}") == len(files)
    assert "```bash\npython cli.py folds   --config configs/dsb2018.yaml" in page


def test_globs_and_placeholders_of_comments_stay():
    assert configs.plain("a/<id>*.png and `b/<id>*.png`") == r"a/\<id\>\*.png and `b/<id>*.png`"


HELP = """usage: python cli.py x --config FILE

options:
  -h, --help            show this
  --output OUTPUT       Folder,
                        on two lines.
  --data.root ROOT      of the config

Images with targets:
  --data CONFIG         a key
  --data.help NAME      help of it

Of the verb:
  --rule {a,b}          how
"""


def test_keys_of_the_config_are_left_out_of_the_verbs_help():
    assert verbs.own_options(HELP) == (
        "usage: python cli.py x --config FILE\n\noptions:\n  --output OUTPUT       Folder,\n"
        "                        on two lines.\n\nOf the verb:\n  --rule {a,b}          how"
    )


def test_a_verb_is_described_by_its_own_parser():
    assert "--space " in verbs.help_text("tune")

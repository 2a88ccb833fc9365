"""The options of all verbs: typed, with help and defaults, and typos answered alike."""

import dataclasses
import re
from dataclasses import dataclass, field
from importlib import import_module

import pytest

import cli
from commands.command_line.parser import is_list, parse_options
from commands.command_line.passed_on import FIT_KEYS, check_counts
from docs.generate.verbs import help_text

OWN = {verb: getattr(import_module(f"commands.{verb}"), "Options", None) for verb in cli.VERBS}
WITH_OPTIONS = [verb for verb, options in OWN.items() if options is not None and dataclasses.fields(options)]


@pytest.mark.parametrize("verb", WITH_OPTIONS)
def test_each_option_has_a_sentence_and_its_default(verb):
    text = re.sub(r"\s+", " ", help_text(verb))
    for one in dataclasses.fields(OWN[verb]):
        shown = re.search(
            rf"--{one.name} [^\[]*?(\[ITEM[^A-Z]*)?([A-Z].*?)\((required, )?type: .*?(, default: .*?)?\)", text
        )
        assert shown is not None, one.name
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        assert (shown[3] is not None) == required, one.name
        assert (shown[4] is not None) != required, one.name


@pytest.mark.parametrize("verb", WITH_OPTIONS)
def test_a_typo_gets_the_nearest_option(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("experiment: x\n")
    name = max((one.name for one in dataclasses.fields(OWN[verb])), key=len)
    with_config = [] if verb in ("adversarial", "compare", "new") else ["--config", "c.yaml"]
    for wrong in ([f"--{name}x", "1"], [f"--{name}x=1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, *with_config, *wrong])
        first = capsys.readouterr().err.splitlines()[0]
        assert ended.value.code == 2
        assert first.startswith("error: ")
        assert f"did you mean {name!r}?" in first


@dataclass
class Options:
    """Options of a verb.

    Args:
        names: Names.
        number: A number.
    """

    names: list[str] = field(default_factory=list)
    number: int | None = None


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], []),
        (["--names", "[a, b]"], ["a", "b"]),
        (["--names", "a"], ["a"]),
        (["--names", "a", "--names=b=[1, 2]"], ["a", "b=[1, 2]"]),
        (["--names", "[a]", "--names+", "b"], ["a", "b"]),
    ],
)
def test_lists_take_one_entry_or_several(arguments, names):
    assert parse_options("x", [*arguments, "--number", "-3"], Options, "").names == names
    assert parse_options("x", [*arguments, "--number=-3"], Options, "").number == -3


@pytest.mark.parametrize("stray", [["runs/a"], ["--config", "c.yaml"]])
def test_what_a_verb_without_config_does_not_take_is_refused(stray, capsys):
    with pytest.raises(SystemExit):
        parse_options("x", [*stray, "--number", "3"], Options, "")
    assert capsys.readouterr().err == f"error: unrecognized arguments: {' '.join(stray)}\n"


def test_which_types_are_lists():
    assert is_list(list[str])
    assert is_list(list[str] | None)
    assert not is_list(str)
    assert not is_list(list[str] | str)
    assert not is_list(dict[str, str] | None)


def test_what_is_passed_on_to_fit_is_known():
    own = set(re.findall(r"^  --([a-z]\w*)", help_text("fit"), re.MULTILINE))
    assert own - {"help", "config", "print_config"} == set(FIT_KEYS)


def test_counts_below_one_are_refused():
    check_counts(jobs=None, repeats=1)
    with pytest.raises(SystemExit, match="--jobs 0 and --repeats 2: expected 1 or more"):
        check_counts(jobs=0, repeats=2)

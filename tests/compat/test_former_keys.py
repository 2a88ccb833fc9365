"""Configs in the words of former builds."""

import pytest
import yaml

from compat import former_keys
from compat.former_keys import accept_former_flags, accept_former_keys


def test_a_former_key_comes_under_its_new_name_once_and_says_so():
    config = {"data": {"class_path": "datamodules.ImageDataModule", "init_args": {"repeats": 3}}, "cv": {"repeats": 2}}
    before = yaml.safe_dump(config)
    with pytest.warns(FutureWarning, match=r"data\.repeats is now data\.samples_per_image") as said:
        found = accept_former_keys(config)
    assert found["data"]["init_args"] == {"samples_per_image": 3}
    assert found["cv"] == {"repeats": 2}
    assert len(said) == 1
    assert yaml.safe_dump(config) == before


def test_overlays_without_init_args_and_stages():
    with pytest.warns(FutureWarning):
        assert accept_former_keys({"data": {"repeats": 3}}) == {"data": {"samples_per_image": 3}}
    with pytest.warns(FutureWarning):
        assert accept_former_keys({"stages": [{"data": {"repeats": 3}}]})["stages"][0]["data"] == {
            "samples_per_image": 3
        }


def test_both_names_at_once():
    with (
        pytest.warns(FutureWarning),
        pytest.raises(ValueError, match="data.repeats is now called samples_per_image, which is also set"),
    ):
        accept_former_keys({"data": {"repeats": 3, "samples_per_image": 2}})


def test_flags():
    given = ["--data.repeats", "2", "--data.init_args.repeats=3", "--cv.repeats", "4", "c.yaml"]
    with pytest.warns(FutureWarning, match="--data.repeats is now --data.samples_per_image"):
        found = accept_former_flags(given)
    assert found == ["--data.samples_per_image", "2", "--data.samples_per_image=3", "--cv.repeats", "4", "c.yaml"]


def test_flags_below_a_former_key_and_lists_that_are_added_to(monkeypatch):
    monkeypatch.setitem(former_keys.KEYS, "competition.old", "competition.new")
    given = ["--competition.old.iou.init_args.classes=3", "--competition.old+=x", "--competition.older", "1"]
    with pytest.warns(FutureWarning, match="--competition.old is now --competition.new"):
        found = accept_former_flags(given)
    assert found == ["--competition.new.iou.init_args.classes=3", "--competition.new+=x", "--competition.older", "1"]


@pytest.mark.parametrize("joined", [True, False])
def test_keys_in_the_values_of_flags(joined, monkeypatch):
    monkeypatch.setitem(former_keys.ARGUMENTS, "Watershed", {"seed": "seed_threshold"})
    values = {
        "--competition.postprocess+": '[{"class_path": "postprocessing.Watershed", "init_args": {"seed": 0.5}}]',
        "--data.init_args": "{repeats: 2}",
        "--runs": "{repeats: 2}",
        "--name": "[no yaml",
    }
    pairs = [part for flag, value in values.items() for part in ([f"{flag}={value}"] if joined else [flag, value])]
    with pytest.warns(FutureWarning):
        found = accept_former_flags(pairs)
    found = [part.partition("=")[2] for part in found] if joined else found[1::2]
    assert yaml.safe_load(found[0])[0]["init_args"] == {"seed_threshold": 0.5}
    assert yaml.safe_load(found[1]) == {"samples_per_image": 2}
    assert found[2:] == ["{repeats: 2}", "[no yaml"]


@pytest.mark.parametrize("given", ["./c.yaml", "c.yaml", "sub/../c.yaml"])
def test_a_config_is_read_however_its_path_is_written(tmp_path, monkeypatch, given):
    from commands.command_line.command_line import CommandLine
    from commands.command_line.fit_config import arguments_of

    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "c.yaml").write_text("data: {repeats: 2}")
    (tmp_path / "d.yaml").write_text("data: {samples_per_image: 2}")
    for form in ([f"--config={given}"], ["--config", given], ["-c", given]):
        with pytest.warns(FutureWarning):
            found = arguments_of(CommandLine.read([*form, "--config", "./d.yaml"]).settings)
        assert yaml.safe_load(found[1]) == {"data": {"samples_per_image": 2}}
        assert found[2:] == ["--config", "d.yaml"]


def test_arguments_of_classes_in_lists_and_classes(monkeypatch):
    monkeypatch.setitem(former_keys.ARGUMENTS, "Watershed", {"seed": "seed_threshold"})
    monkeypatch.setitem(former_keys.CLASSES, "postprocessing.Former", "postprocessing.Watershed")
    steps = [
        {"class_path": "postprocessing.Former", "init_args": {"seed": 0.5}},
        {"class_path": "postprocessing.Watershed", "init_args": {"seed": 0.4, "line": True}},
        {"class_path": "postprocessing.Threshold", "init_args": {"seed": 0.3}},
    ]
    with pytest.warns(FutureWarning):
        found = accept_former_keys({"competition": {"postprocess": steps}})["competition"]["postprocess"]
    assert found[0] == {"class_path": "postprocessing.Watershed", "init_args": {"seed_threshold": 0.5}}
    assert found[1]["init_args"] == {"seed_threshold": 0.4, "line": True}
    assert found[2]["init_args"] == {"seed": 0.3}


def test_the_target_of_a_metric_and_a_class_of_a_fork_with_a_name_of_ours():
    metric = {"class_path": "evaluation.DicePerImage", "init_args": {"output": "mask", "truth": "body"}}
    with pytest.warns(FutureWarning, match="truth of DicePerImage is now target"):
        found = accept_former_keys({"competition": {"extra_metrics": {"dice": metric}}})
    assert found["competition"]["extra_metrics"]["dice"]["init_args"] == {"output": "mask", "target": "body"}
    for name, arguments in (("mine.Watershed", {"seed": 1}), ("mine.metrics.Dice", {"truth": "body"})):
        config = {"competition": {"postprocess": [{"class_path": name, "init_args": arguments}]}}
        assert accept_former_keys(config) == config


@pytest.mark.filterwarnings("error")
def test_the_longer_of_two_good_paths_is_the_shorter_one_without_a_word():
    for path, expected in (
        ("evaluation.metrics.DicePerImage", "evaluation.DicePerImage"),
        ("evaluation.DicePerImage", "evaluation.DicePerImage"),
        ("evaluation.metrics.dice.DicePerImage", "evaluation.metrics.dice.DicePerImage"),
    ):
        found = accept_former_keys({"competition": {"metric": {"class_path": path}}})
        assert found == {"competition": {"metric": {"class_path": expected}}}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_defaults_that_a_former_fit_has_saved_do_not_take_the_masks_away():
    masks = {"class_path": "datamodules.targets.MaskFiles", "init_args": {"pattern": "x", "ignore": 255}}
    saved = {"root": "data", "generator": None, "unreadable": "refuse", "repeats": 1, "targets": [masks]}
    found = accept_former_keys({"data": {"init_args": saved}})
    assert found["data"]["init_args"]["targets"][0]["init_args"]["ignore"] is None
    written = accept_former_keys({"data": {"init_args": {"root": "data", "targets": [masks]}}})
    assert written["data"]["init_args"]["targets"][0]["init_args"]["ignore"] == 255, "as its writer wanted"
    edges = {"class_path": "postprocessing.inference.Inference", "init_args": {"along": None, "min_cover": 2}}
    assert "min_cover" not in accept_former_keys({"model": {"inference": edges}})["model"]["inference"]["init_args"]

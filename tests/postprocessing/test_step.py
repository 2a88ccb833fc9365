import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser

import postprocessing
from postprocessing import (
    ConnectedComponents,
    ConvexHull,
    DistanceWatershed,
    FillHoles,
    HysteresisThreshold,
    LargestComponents,
    MinimumArea,
    QuantileThreshold,
    Smooth,
    Step,
    Threshold,
    TripletThreshold,
    Watershed,
)
from postprocessing.step import argument_and_entry, as_config

STEPS = [
    Threshold(0.4),
    Threshold([0.4]),
    ConnectedComponents("ready", 2),
    MinimumArea(5, "ready"),
    MinimumArea(500, "ready", total=True),
    MinimumArea(5, "instances"),
    FillHoles("ready", max_area=3),
    FillHoles("instances"),
    Watershed(seed_threshold=0.55, min_seed_size=2),
    Watershed(border=None, keep_unseeded=False),
    Watershed(line=True, grow=2),
    DistanceWatershed("ready", distance=2, depth=0.5),
    MinimumArea([5], "ready"),
    TripletThreshold(area=20),
    HysteresisThreshold(),
    QuantileThreshold(0.3),
    LargestComponents(2, "ready"),
    LargestComponents(2, "instances"),
    ConvexHull("ready", solidity=0.8),
    ConvexHull("instances"),
    Smooth("open", 1, "ready"),
    Smooth("median", 1, "ready"),
]


def prediction(seed=0, height=31, width=24):
    random = np.random.default_rng(seed)
    names = ("mask", "body", "border")
    maps = {name: random.random((1, height, width), dtype=np.float32) for name in names}
    return maps | {
        "ready": random.random((2, height, width)) < 0.5 if seed % 2 else random.random((1, height, width)) < 0.5,
        "instances": random.integers(0, 4, (height, width)).astype(np.int32),
        "empty": random.random(1, dtype=np.float32),
    }


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_leaves_what_it_is_given(step):
    given = prediction()
    before = {name: array.copy() for name, array in given.items()}
    result = step(given)
    assert result is not given
    assert list(given) == list(before)
    for name, array in before.items():
        np.testing.assert_array_equal(given[name], array)
    changed = [name for name in result if name not in given or result[name] is not given[name]]
    assert len(changed) == 1
    array = result[changed[0]]
    assert array.shape == (31, 24) if changed == ["instances"] else array.shape[-2:] == (31, 24)
    assert array.dtype == (np.int32 if changed == ["instances"] else bool)
    # what a step returned must not change with what it was given
    copies = {name: value.copy() for name, value in result.items() if name in changed}
    for value in given.values():
        value[...] = 0
    fresh = step(prediction())
    np.testing.assert_array_equal(fresh[changed[0]], copies[changed[0]])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_every_candidate_of_the_search_makes_a_step_that_works(step):
    for name, values in step.search_space().items():
        assert len(values) == len(set(values))
        for value in values:
            changed = step.replaced(**{name: value})
            assert type(changed) is type(step)
            assert changed is not step
            argument, entry = argument_and_entry(name)
            assert vars(changed) == vars(step) | {argument: value if entry is None else [value]}
            changed(prediction())


def test_every_step_but_filling_holes_can_be_tuned():
    assert all(step.search_space() for step in STEPS if not isinstance(step, FillHoles))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Threshold(output="msk"), r"Threshold requires 'msk', the prediction has \['body', 'border'"),
        (Threshold(output="ready"), "'ready' is bool; is it a mask already"),
        (Threshold([0.1, 0.2]), "2 values, expected 1, the channels of 'mask'"),
        (ConnectedComponents(), "'mask' is float32; add postprocessing.Threshold before"),
        (ConnectedComponents("instances"), "'instances' is int32"),
        (MinimumArea(3), "'mask' is float32; add postprocessing.Threshold before"),
        (FillHoles(), "'mask' is float32"),
        (Watershed(border="boarder"), "Watershed requires 'boarder'"),
        (Watershed(body="ready"), "expects probabilities in 'ready', got bool"),
    ],
)
def test_wrong_chains_are_told(step, message):
    with pytest.raises(ValueError, match=message):
        step(prediction())


@pytest.mark.parametrize(
    ("step", "array"),
    [
        (MinimumArea(3), np.ones((4, 4), bool)),
        (FillHoles(), np.ones((4, 4), bool)),
        (MinimumArea(3), np.ones((1, 4, 4), int)),
        (ConnectedComponents(), np.ones((2, 4, 4), bool)),
    ],
)
def test_wrong_shapes_are_told(step, array):
    with pytest.raises(ValueError, match=rf"'mask', got .*\({array.shape[0]}, 4"):
        step({"mask": array})


def test_steps_come_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--steps", type=list[Step])
    text = """
    - {class_path: postprocessing.Threshold, init_args: {value: [0.3, 0.4]}}
    - {class_path: postprocessing.FillHoles}
    - {class_path: postprocessing.MinimumArea, init_args: {pixels: 30, total: true}}
    - {class_path: postprocessing.ConnectedComponents, init_args: {connectivity: 2}}
    - {class_path: postprocessing.Watershed, init_args: {border: null}}
    """
    steps = parser.instantiate(parser.parse_object({"steps": yaml.safe_load(text)})).steps
    kinds = [Threshold, FillHoles, MinimumArea, ConnectedComponents, Watershed]
    assert [type(step) for step in steps] == kinds
    assert (steps[0].value, steps[2].pixels, steps[3].connectivity, steps[4].border) == ([0.3, 0.4], 30, 2, None)


def test_steps_need_no_torch():
    imports = "sys, postprocessing, submissions, predictions.store"
    code = f"import {imports}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
    assert "Threshold" in postprocessing.__all__


def test_a_chain_with_a_step_of_ones_own_is_written_as_it_is_read(tmp_path, monkeypatch):
    """`search` and `stack` save chains, and later verbs build them again by their class paths."""
    lines = ["from postprocessing import Gate, Step, Threshold", "class Sure(Threshold):", "    '''A threshold.'''"]
    lines += ["class Inner:", "    class Twice(Step):", "        '''A step around another.'''"]
    lines += ["        def __init__(self, step: Step, times: int = 2) -> None:"]
    lines += ["            self.step, self.times = step, times"]
    lines += ["        def __call__(self, prediction):", "            return self.step(self.step(prediction))"]
    (tmp_path / "my_steps.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    mine = import_module("my_steps")
    chain = [MinimumArea(30), mine.Sure([np.float64(0.25), 0.5]), mine.Inner.Twice(mine.Sure(0.75))]
    content = yaml.safe_load(yaml.safe_dump([as_config(step) for step in chain]))
    paths = ["postprocessing.MinimumArea", "my_steps.Sure", "my_steps.Inner.Twice"]
    assert [entry["class_path"] for entry in content] == paths
    parser = ArgumentParser()
    parser.add_argument("--steps", type=list[Step])
    again = parser.instantiate_classes(parser.parse_object({"steps": content})).steps
    assert [type(step) for step in again] == [type(step) for step in chain]
    assert (again[0].pixels, again[1].value, again[2].step.value, again[2].times) == (30, [0.25, 0.5], 0.75, 2)

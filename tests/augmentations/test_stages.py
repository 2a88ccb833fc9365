"""Lists of augmentations that a schedule switches between."""

import multiprocessing

import numpy as np
import pytest
import torch

from augmentations import Geometry, Stages


def make():
    return Stages({"none": [], "mirrored": [Geometry(hflip=1.0)], "upside_down": [Geometry(vflip=1.0)]})


def test_the_stage_that_is_switched_on_is_applied():
    stages, image = make(), np.arange(24, dtype=np.uint8).reshape(4, 6, 1)
    batch = {"image": torch.from_numpy(image).permute(2, 0, 1)[None]}
    expected = {"none": image, "mirrored": image[:, ::-1], "upside_down": image[::-1]}
    for name in ("mirrored", "none", "upside_down"):
        stages.switch(name)
        found, arrays = stages.sample(image, {"mask": image[..., 0]}, 255.0, np.random.default_rng(0))
        np.testing.assert_array_equal(found, expected[name])
        np.testing.assert_array_equal(arrays["mask"], expected[name][..., 0])
        moved = stages.batch(batch, 255.0, np.random.default_rng(0))["image"]
        np.testing.assert_allclose(moved[0].permute(1, 2, 0), expected[name], atol=1e-5)


def number_in_worker(stages, before, switched, numbers):
    numbers.put(int(stages.current))
    before.set()
    switched.wait(60)
    numbers.put(int(stages.current))


def test_a_worker_that_runs_notices_a_switch():
    stages, context = make(), multiprocessing.get_context("fork")
    before, switched, numbers = context.Event(), context.Event(), context.Queue()
    stages.switch("none")
    worker = context.Process(target=number_in_worker, args=(stages, before, switched, numbers))
    worker.start()
    assert before.wait(60)
    stages.switch("upside_down")
    switched.set()
    assert [numbers.get(timeout=60), numbers.get(timeout=60)] == [0, 2]
    worker.join(60)


def test_stages_that_do_not_work():
    with pytest.raises(ValueError, match="stages is empty"):
        Stages({})
    with pytest.raises(ValueError, match=r"no stage 'hard', only \['none', 'mirrored', 'upside_down'\]"):
        make().switch("hard")
    with pytest.raises(ValueError, match=r"needs callbacks\.AugmentationSchedule in trainer\.callbacks"):
        make().batch({"image": torch.zeros(1, 1, 2, 2)}, 255.0, np.random.default_rng(0))

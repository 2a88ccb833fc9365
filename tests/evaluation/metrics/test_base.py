import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from evaluation.metrics import DicePerImage


def case(number):
    random = np.random.default_rng(number)
    return {"mask": random.random((1, 8, 8)) < 0.5}, {"mask": (random.random((1, 8, 8)) < 0.5).astype(np.uint8)}


def on_rank(rank, world, path, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=world)
    metric = DicePerImage()
    # 7 images on 2 ranks: the last place is a repeat, as a padded loader makes it
    for number in range(rank, 8, world):
        metric.add(str(number % 7), *case(number % 7))
    results.put(float(metric.compute()))
    torch.distributed.destroy_process_group()


def test_two_ranks_give_the_number_of_one(tmp_path):
    alone = DicePerImage()
    for number in range(7):
        alone.add(str(number), *case(number))
    context = mp.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=on_rank, args=(r, 2, tmp_path / "init", results)) for r in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    expected = float(alone.compute())
    assert [results.get(), results.get()] == pytest.approx([expected, expected], abs=1e-12)


def test_reset_and_repeats():
    metric = DicePerImage()
    metric.add("a", *case(0))
    metric.add("a", *case(1))
    assert len(metric.rows) == 1
    metric.reset()
    with pytest.raises(ValueError, match="no image"):
        metric.compute()

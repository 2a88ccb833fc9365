import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from callbacks import GatheredMetric
from evaluation import DicePerImage


def case(number):
    random = np.random.default_rng(number)
    return {"mask": random.random((1, 8, 8)) < 0.5}, {"mask": (random.random((1, 8, 8)) < 0.5).astype(np.uint8)}


def on_rank(rank, world, path, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=world)
    metric = GatheredMetric(DicePerImage())
    # 7 images on 2 ranks: the last place is a repeat, as a padded loader makes it
    for number in range(rank, 8, world):
        metric.update(str(number % 7), *case(number % 7))
    results.put((float(metric.compute()), len(metric.metric.rows), metric.metric.by_class()))
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
    for score, images, by_class in (results.get(), results.get()):
        assert score == pytest.approx(alone.compute(), abs=1e-12)
        assert images == 7
        assert by_class == pytest.approx(alone.by_class(), abs=1e-12)


def test_an_epoch_begins_without_the_images_of_the_last():
    metric = GatheredMetric(DicePerImage())
    scores = []
    for number in range(2):
        metric.reset()
        metric.update("a", *case(number))
        scores.append(float(metric.compute()))
        assert metric.metric.rows.keys() == {"a"}
    alone = [DicePerImage(), DicePerImage()]
    for number, one in enumerate(alone):
        one.add("a", *case(number))
    assert scores == [one.compute() for one in alone]
    assert scores[0] != scores[1]

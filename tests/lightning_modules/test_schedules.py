import pytest
import torch

from lightning_modules.schedules import WarmupCosine


def at(progress: float, **arguments) -> float:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(optimizer, **arguments)
    schedule.progress = progress
    optimizer.step()
    schedule.step()
    return optimizer.param_groups[0]["lr"]


def test_corner_values():
    assert at(0.0, warmup=0.1, start=0.02) == pytest.approx(2 * 0.02)
    assert at(0.1, warmup=0.1) == pytest.approx(2.0)
    assert at(0.55, warmup=0.1, final=0.0) == pytest.approx(1.0)
    assert at(1.0, final=0.001) == pytest.approx(0.002)


def test_rises_then_falls():
    rates = [at(step / 50, warmup=0.2) for step in range(51)]
    top = rates.index(max(rates))
    assert top == 10
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_warmup_is_a_share():
    with pytest.raises(ValueError, match="warmup"):
        at(0.5, warmup=5)

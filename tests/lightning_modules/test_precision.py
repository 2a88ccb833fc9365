import torch

from lightning_modules import precision
from lightning_modules.precision import AutoPrecision, best_precision


def test_autocast_only_where_the_machine_gains(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert best_precision() == ("bf16-mixed", "cpu")
    with AutoPrecision().forward_context():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert best_precision() == ("32-true", "cpu")
    plain = AutoPrecision()
    assert plain.precision == "32-true"
    with plain.forward_context():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_old_cuda_takes_half_with_a_scaler(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert precision.best_precision() == ("16-mixed", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert precision.best_precision() == ("bf16-mixed", "cuda")

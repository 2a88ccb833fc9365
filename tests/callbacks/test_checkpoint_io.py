"""Checkpoint files are complete or not there."""

import resource
import tempfile

import pytest
import torch

from callbacks.checkpoint_io import AsyncDurableCheckpointIO, DurableCheckpointIO, checkpoint_size, in_bytes


def test_the_former_last_is_kept_and_nothing_else(tmp_path):
    writer = DurableCheckpointIO()
    for step in range(3):
        for name in ("last.ckpt", "best.ckpt"):
            writer.save_checkpoint({"step": step}, str(tmp_path / "checkpoints" / name))
    found = {path.name: torch.load(path)["step"] for path in (tmp_path / "checkpoints").iterdir()}
    assert found == {"last.ckpt": 2, "last-1.ckpt": 1, "best.ckpt": 2}


def test_a_full_disk_leaves_the_former_checkpoint_and_says_how_much_is_missing(tmp_path):
    path, writer = tmp_path / "last.ckpt", DurableCheckpointIO()
    writer.save_checkpoint({"step": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(
            OSError, match=r"last\.ckpt cannot be written: .*needs about 4\.0 MB \(4,000,000 bytes\), .* free"
        ):
            writer.save_checkpoint({"step": 2, "weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.load(path)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_nothing_is_written_outside_the_folder(tmp_path, monkeypatch):
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    elsewhere.chmod(0o500)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    DurableCheckpointIO().save_checkpoint({"step": 1}, tmp_path / "best.ckpt")
    assert not list(elsewhere.iterdir())


def test_a_checkpoint_written_beside_the_training_holds_the_values_of_its_step(tmp_path):
    weights, writer = torch.zeros(1000), AsyncDurableCheckpointIO()
    writer.save_checkpoint({"weights": weights}, tmp_path / "last.ckpt")
    weights += 1
    writer.teardown()
    assert (torch.load(tmp_path / "last.ckpt")["weights"] == 0).all()


def test_the_size_counts_shared_tensors_once():
    tensor = torch.zeros(10, 10)
    assert checkpoint_size({"a": tensor, "b": [tensor[:5], (tensor.T,)], "c": 3}) == 400
    assert in_bytes(999) == "999 bytes"
    assert in_bytes(24_102_912) == "24.1 MB (24,102,912 bytes)"

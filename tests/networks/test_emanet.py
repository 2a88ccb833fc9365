"""M46: expectation-maximisation attention."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from networks import EMANet
from networks.emanet import ExpectationMaximisation, GlobalAttentionUpsample

ROOT = Path(__file__).resolve().parents[2]


def unit_length(bases: torch.Tensor) -> None:
    torch.testing.assert_close(bases.norm(dim=-1), torch.ones(bases.shape[:-1]))


def test_responsibilities_sum_to_one_bases_have_length_one_and_the_map_rank_k():
    torch.manual_seed(0)
    unit = ExpectationMaximisation(32, bases=5)
    unit_length(unit.bases)
    pixels = torch.randn(2, 200, 32)
    responsibilities, bases = unit.attend(pixels)
    assert responsibilities.shape == (2, 200, 5)
    assert bases.shape == (2, 5, 32)
    torch.testing.assert_close(responsibilities.sum(dim=-1), torch.ones(2, 200))
    unit_length(bases)
    ranks = torch.linalg.matrix_rank(responsibilities @ bases, rtol=1e-4)
    assert (ranks <= 5).all()
    assert (torch.linalg.matrix_rank(pixels) == 32).all()


def test_iterations_are_those_of_the_paper():
    """E: softmax of the products; M: the mean of the pixels weighted by responsibility, brought to length 1."""
    torch.manual_seed(0)
    unit = ExpectationMaximisation(8, bases=3, iterations=3).double()
    pixels = torch.randn(2, 50, 8, dtype=torch.float64)
    for image, got_z, got_bases in zip(pixels, *unit.attend(pixels), strict=True):
        bases = unit.bases
        for _ in range(3):
            z = torch.stack([torch.exp(pixel @ bases.T) / torch.exp(pixel @ bases.T).sum() for pixel in image])
            means = torch.stack([(z[:, k, None] * image).sum(0) / z[:, k].sum() for k in range(3)])
            bases = means / means.norm(dim=1, keepdim=True)
        torch.testing.assert_close(got_z, z)
        torch.testing.assert_close(got_bases, bases)


def test_gradients_take_the_last_iteration_alone():
    torch.manual_seed(0)
    unit = ExpectationMaximisation(6, bases=3, iterations=3).double()
    pixels = torch.randn(1, 20, 6, dtype=torch.float64, requires_grad=True)
    z, bases = unit.attend(pixels)
    (z @ bases).square().mul(torch.arange(6)).sum().backward()

    with torch.no_grad():
        start = unit.bases
        for _ in range(2):
            start = F.normalize(torch.softmax(pixels[0] @ start.T, -1).T @ pixels[0], dim=-1)
    alone = pixels.detach().requires_grad_()
    z = torch.softmax(alone[0] @ start.T, -1)
    (z @ F.normalize(z.T @ alone[0], dim=-1)).square().mul(torch.arange(6)).sum().backward()
    torch.testing.assert_close(pixels.grad, alone.grad)
    assert "bases" not in dict(unit.named_parameters())


def test_bases_move_in_training_and_are_frozen_in_evaluation():
    torch.manual_seed(0)
    unit = ExpectationMaximisation(16, bases=4, momentum=0.9)
    features = torch.randn(2, 16, 9, 7)
    before = unit.bases.clone()
    pixels = unit.enter(features).flatten(2).transpose(1, 2)
    mean = unit.attend(pixels)[1].mean(dim=0)
    unit.eval()(features)
    assert torch.equal(unit.bases, before)
    unit.train()(features).sum().backward()
    torch.testing.assert_close(unit.bases, F.normalize(0.9 * before + 0.1 * mean, dim=1).detach())
    unit_length(unit.bases)
    assert "bases" in unit.state_dict()


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_identity_when_the_residual_branch_is_off(training):
    unit = ExpectationMaximisation(16, bases=4).train(training)
    nn.init.zeros_(unit.leave[1].weight)
    features = torch.randn(2, 16, 9, 7)
    assert torch.equal(unit(features), features)


def test_half_types_are_summed_in_float32():
    torch.manual_seed(0)
    unit = ExpectationMaximisation(16, bases=4).eval()
    features = 20 * torch.randn(1, 16, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = unit(features)
    with torch.no_grad():
        torch.testing.assert_close(half.float(), unit(features), rtol=0.05, atol=1.0)
        responsibilities, _ = unit.attend(features.flatten(2).transpose(1, 2))
    assert responsibilities.isfinite().all()


def test_attention_upsample_adds_the_skip_by_weights_of_the_coarse_features():
    torch.manual_seed(0)
    upsample = GlobalAttentionUpsample(5, 4).eval()
    coarse, skip = torch.randn(2, 4, 3, 4), torch.randn(2, 5, 6, 7)
    doubled = F.interpolate(coarse, size=(6, 7), mode="bilinear", align_corners=True)
    conv, norm = upsample.weights[0], upsample.weights[1]
    weights = F.relu(norm(conv(doubled.mean(dim=(2, 3), keepdim=True))))
    torch.testing.assert_close(upsample(coarse, skip), doubled + weights * upsample.skip(skip))


def test_the_two_decoders():
    winner = EMANet("resnet18", channels=64)
    assert [up.skip.in_channels for up in winner.upsamples] == [256, 128, 64]
    assert winner.head.in_channels == 64
    paper = EMANet("resnet18", channels=64, output_stride=8, decoder="plain", classes=21).eval()
    assert len(paper.upsamples) == 0
    assert paper.dropout.p == 0.1
    seen = []
    paper.attention.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    assert paper(torch.zeros(1, 3, 64, 96)).shape == (1, 21, 64, 96)
    assert seen == [(1, 64, 8, 12)]
    assert winner.eval()(torch.zeros(1, 3, 65, 47)).shape == (1, 1, 65, 47)


def test_wrong_numbers_are_refused():
    for wrong in ({"bases": 0}, {"iterations": 0}, {"momentum": 1.5}):
        with pytest.raises(ValueError, match="expected at least 1, at least 1, and a number"):
            ExpectationMaximisation(8, **wrong)
    with pytest.raises(ValueError, match="does not fit this network .*dilat"):
        EMANet("densenet121", output_stride=8)


RANK = """
import sys, torch
from torch import distributed
from networks.emanet import ExpectationMaximisation

rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
unit = ExpectationMaximisation(8, bases=3)
features = torch.randn(4, 8, 5, 6)
unit.train()(features[2 * rank : 2 * rank + 2])
torch.save(unit.bases, f"{sys.argv[2]}.{rank}")
distributed.destroy_process_group()
"""


def test_a_group_of_one_rank_changes_nothing(tmp_path):
    torch.manual_seed(0)
    alone, grouped = ExpectationMaximisation(8, bases=3), ExpectationMaximisation(8, bases=3)
    grouped.load_state_dict(alone.state_dict())
    features = torch.randn(2, 8, 5, 6)
    alone.train()(features)
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        grouped.train()(features)
    finally:
        distributed.destroy_process_group()
    torch.testing.assert_close(grouped.bases, alone.bases)


@pytest.mark.slow
def test_two_ranks_hold_the_bases_of_one_process(tmp_path):
    meeting = tmp_path / "meeting"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(meeting)], env=environment) for rank in (0, 1)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    torch.manual_seed(0)
    unit = ExpectationMaximisation(8, bases=3)
    unit.train()(torch.randn(4, 8, 5, 6))
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(f"{meeting}.{rank}", weights_only=True), unit.bases)

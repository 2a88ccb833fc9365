"""Weights of a file under the names of a network."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from networks.weight_keys import fit_state, misfits


def small(channels: int = 3, blocks: int = 2, classes: int = 5) -> nn.Module:
    return nn.ModuleDict(
        {
            "stem": nn.Conv2d(channels, 4, 3),
            "norm": nn.BatchNorm2d(4),
            "stages": nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(blocks)),
            "fc": nn.Linear(4, classes),
        }
    )


PREFIX = st.sampled_from(["", "encoder.", "model.", "network.encoder.", "module.backbone.body."])


@given(PREFIX, PREFIX, st.booleans())
def test_prefixes_and_flattened_names_do_not_matter(inside, outside, flat):
    network = small()
    state = {f"{inside}{key}": value for key, value in network.state_dict().items()}
    expected = {f"{outside}{key.replace('stages.', 'stages_') if flat else key}": torch.zeros_like(value)
                for key, value in network.state_dict().items()}  # fmt: skip
    fitted, wrong = fit_state(state, expected)
    assert not wrong
    assert (fitted.matched, fitted.unused, fitted.random) == (12, [], [])
    for value, other in zip(fitted.values.values(), network.state_dict().values(), strict=True):
        assert torch.equal(value, other)


@given(st.integers(1, 12))
def test_first_layers_get_any_number_of_channels(channels):
    state, expected = small().state_dict(), small(channels).state_dict()
    fitted, wrong = fit_state(state, expected)
    assert not wrong
    torch.testing.assert_close(fitted.values["stem.weight"].sum(1), state["stem.weight"].sum(1))


def test_copies_reorder_the_first_layer_alone():
    state = small().state_dict()
    values = fit_state(state, small().state_dict(), [2, 1, 0])[0].values
    assert torch.equal(values["stem.weight"], state["stem.weight"].flip(1))
    assert all(torch.equal(values[key], state[key]) for key in state if key != "stem.weight")


def test_classifiers_of_other_classes_keep_their_values():
    state, expected = small(classes=1000).state_dict(), small().state_dict()
    fitted, wrong = fit_state(state, expected)
    assert not wrong
    assert torch.equal(fitted.values["fc.weight"], expected["fc.weight"])
    assert fitted.random == ["fc"]


def test_deeper_wider_and_cut_networks_do_not_fit():
    state, expected = small().state_dict(), small(blocks=1).state_dict()
    assert fit_state(state, expected)[1] == ["unknown stages.1.weight", "unknown stages.1.bias"]
    assert fit_state(expected, state)[1] == ["missing stages.1.weight", "missing stages.1.bias"]
    wide = {key: value.repeat(2, *[1] * (value.ndim - 1)) if value.ndim else value for key, value in expected.items()}
    assert "stem.weight: file (8, 3, 3, 3), network (4, 3, 3, 3)" in fit_state(wide, expected)[1]


def test_modules_that_the_network_lacks_are_left_out_and_counts_may_be_missing():
    expected = {key: value for key, value in small().state_dict().items() if not key.startswith("fc")}
    state = {key: value for key, value in small().state_dict().items() if "num_batches" not in key}
    fitted, wrong = fit_state(state | {"decoder.0.weight": torch.zeros(2)}, expected)
    assert (wrong, fitted.unused, fitted.matched) == ([], ["fc", "decoder"], 10)
    assert not misfits(fitted.values, expected)

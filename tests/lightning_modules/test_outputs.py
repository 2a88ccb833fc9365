import pytest
import torch

from lightning_modules.outputs import activate, deactivate, flat_names, name_outputs


def test_flat_names():
    assert flat_names([["body", "border"], "empty"]) == ["body", "border", "empty"]


def test_a_tensor_is_named():
    tensor = torch.randn(2, 3, 4, 4)
    assert name_outputs(tensor, ["mask"])["mask"] is tensor


def test_channels_split_by_name_and_tuples_in_order():
    mask, label = torch.randn(2, 4, 8, 8), torch.randn(2, 1)
    named = name_outputs((mask, label), [["body", "border"], "empty"])
    assert torch.equal(torch.cat([named["body"], named["border"]], 1), mask)
    assert named["body"].shape == (2, 2, 8, 8)
    assert named["empty"] is label


def test_one_name_for_several_tensors_is_deep_supervision():
    levels = [torch.randn(1, 1, 8, 8), torch.randn(1, 1, 4, 4)]
    assert name_outputs(levels, ["mask"])["mask"] == levels


@pytest.mark.parametrize(
    ("result", "names", "text"),
    [
        (torch.zeros(1, 3, 2, 2), [["body", "border"]], "3 channels"),
        ((torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)), ["a", "b"], "3 tensors"),
        ({"mask": torch.zeros(1)}, ["body"], "body"),
    ],
)
def test_what_does_not_fit_is_refused(result, names, text):
    with pytest.raises(ValueError, match=text):
        name_outputs(result, names)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
def test_logits_are_recovered_from_probabilities(activation):
    logits = torch.randn(2, 3, 5, 5, dtype=torch.float64).float()
    probabilities = activate(logits, activation)
    again = activate(deactivate(probabilities, activation), activation)
    torch.testing.assert_close(again, probabilities, atol=1e-5, rtol=1e-4)


def test_activation_raises_half_to_float():
    assert activate(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16), "sigmoid").dtype == torch.float32


def test_parts_of_given_sizes():
    names = [["body", "kind:4"], "empty"]
    assert flat_names(names) == ["body", "kind", "empty"]
    result = torch.arange(5.0).reshape(1, 5, 1, 1), torch.zeros(1, 1)
    named = name_outputs(result, names)
    assert list(named) == ["body", "kind", "empty"]
    assert named["body"].flatten().tolist() == [0]
    assert named["kind"].flatten().tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"6 channels into \['body', 'kind:4'\], which are 5"):
        name_outputs(torch.zeros(1, 6, 1, 1), names[:1])
    for wrong in ("kind:", "kind:0", "kind:x"):
        with pytest.raises(ValueError, match=f"model.outputs has '{wrong}'"):
            flat_names([["body", wrong]])

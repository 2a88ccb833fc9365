"""Layers between features and logits."""

import pytest
import torch
from torch import nn

from networks.heads import ClassifierHead, EmbeddingNeck, linear_head


def kinds(head: nn.Module) -> list[str]:
    return [type(module).__name__ for module in head]


def test_planet_replaced_one_layer_by_three_with_dropout():
    head = linear_head(2048, 17, [1024, 512], 0.5)
    assert [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)] == [
        (2048, 1024),
        (1024, 512),
        (512, 17),
    ]
    assert kinds(head) == ["Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    features = torch.randn(4, 2048)
    assert not torch.equal(head.train()(features), head(features))
    assert torch.equal(head.eval()(features), head(features))


def test_the_head_of_hpa_has_norms_and_a_share_per_layer():
    head = linear_head(2048, 28, [1024], [0.25, 0.5], norm=True)
    assert kinds(head) == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert [module.p for module in head if isinstance(module, nn.Dropout)] == [0.25, 0.5]


def test_named_outputs_come_as_a_tuple_in_their_order():
    head = ClassifierHead(16, {"label": 28, "grade": 4}, [8])
    label, grade = head(torch.randn(2, 16))
    assert (label.shape, grade.shape) == ((2, 28), (2, 4))
    assert {name.split(".")[1] for name in head.state_dict()} == {"label", "grade"}
    assert ClassifierHead(16, 3)(torch.randn(2, 16)).shape == (2, 3)


def test_the_neck_has_unit_variance_in_training():
    embedded = EmbeddingNeck(32, 8).train()(torch.randn(64, 32) * 5 + 3)
    torch.testing.assert_close(embedded.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(embedded.var(0, unbiased=False), torch.ones(8), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": [8], "dropout": [0.5]}, r"dropout is \[0.5\], expected .* one for each of 2 linear layers"),
        ({"dropout": 1.0}, r"dropout is 1.0, expected a rate in \[0, 1\)"),
        ({"hidden": [0]}, r"the head's layers are \[16, 0, 3\], expected sizes of 1 or more"),
    ],
)
def test_bad_heads_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear_head(16, 3, **arguments)


def test_no_outputs_are_refused():
    with pytest.raises(ValueError, match="classes is {}, expected at least one"):
        ClassifierHead(16, {})

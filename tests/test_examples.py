"""Every public loss has an example in its docstring; pytest runs them (`--doctest-modules`)."""

import doctest

import pytest

from losses import known_losses
from losses.formula import loss_class

PUBLIC = [loss_class(name) for name in known_losses()]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_docstring_has_an_example_with_a_result(kind):
    examples = doctest.DocTestParser().get_examples(kind.__doc__ or "")
    assert any(example.want for example in examples), f"{kind.__module__}.{kind.__name__} has no runnable example"

"""Every public loss, metric and step has an example in its docstring; pytest runs them (`--doctest-modules`)."""

import doctest
import inspect

import pytest

import postprocessing
from evaluation import metrics
from losses import known_losses
from losses.formula import loss_class


def public(package):
    """The classes that a package names for YAML, but for its abstract bases."""
    exported = [getattr(package, name) for name in package.__all__]
    return [kind for kind in exported if inspect.isclass(kind) and not inspect.isabstract(kind)]


PUBLIC = [*(loss_class(name) for name in known_losses()), *public(metrics), *public(postprocessing)]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_docstring_has_an_example_with_a_result(kind):
    examples = doctest.DocTestParser().get_examples(kind.__doc__ or "")
    assert any(example.want for example in examples), f"{kind.__module__}.{kind.__name__} has no runnable example"

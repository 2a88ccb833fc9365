"""Class paths and modules of the build before the folders moved."""

import importlib

import pytest

from compat.former_names import MODULES, accept_former_names


def test_every_successor_is_there():
    for former, successor in MODULES.items():
        assert importlib.util.find_spec(successor), f"{former} -> {successor}"


def test_a_former_class_path_gives_the_class_and_says_its_new_name():
    accept_former_names()
    with pytest.warns(FutureWarning, match=r"submissions\.RunLengths is now submissions\.RunLengths"):
        from postprocessing.submissions import RunLengths
    import submissions

    assert RunLengths is submissions.RunLengths
    with pytest.warns(FutureWarning, match=r"is now inference\.Inference"):
        from postprocessing.inference import Inference
    assert Inference.__module__ == "inference.inference"


def test_modules_below_a_former_package_are_found():
    accept_former_names()
    with pytest.warns(FutureWarning):
        from postprocessing.submissions.run_lengths import RunLengths
    assert RunLengths.__name__ == "RunLengths"


def test_functions_of_former_modules_are_found():
    accept_former_names()
    with pytest.warns(FutureWarning):
        from postprocessing.predictions import PredictionStore, read_finite, read_mean
    from predictions import store

    assert (PredictionStore, read_finite, read_mean) == (store.PredictionStore, store.read_finite, store.read_mean)


def test_what_never_was_is_still_an_error():
    accept_former_names()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("postprocessing.nothing")
    with pytest.raises(ImportError):
        from postprocessing.submissions import Nothing  # noqa: F401

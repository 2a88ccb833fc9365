"""Names of albumentations 1.x."""

import inspect

import albumentations
import pytest

from compat.albumentations_names import ARGUMENTS, RENAMED, old_names


def test_what_is_called_old_is_gone_and_what_is_new_is_there():
    for name, new in RENAMED.items():
        assert not hasattr(albumentations, name)
        assert hasattr(albumentations, new.split("(")[0].split(",")[0].split(" ")[0])
    for name, arguments in ARGUMENTS.items():
        known = list(inspect.signature(getattr(albumentations, name).__init__).parameters)
        for old, new in arguments.items():
            assert old not in known
            assert new.split(":")[0].split(",")[0] in known or new.startswith(("an Affine", "nothing"))


def test_a_misspelt_argument_is_told_the_nearest():
    rotate = {"class_path": "albumentations.Rotate", "init_args": {"limits": 10}}
    (said,) = old_names({"transforms": [{"class_path": "albumentations.D4"}, rotate]})
    assert said == "transforms[1]: Rotate has no limits; did you mean limit?"
    (said,) = old_names({"class_path": "albumentations.D4", "init_args": {"angle": 10}})
    assert "D4 has no angle; it has p" in said


@pytest.mark.parametrize(
    "config", [{}, [], None, {"class_path": "albumentations.D4", "init_args": {"p": 1}}, {"a": [1]}]
)
def test_configs_without_old_names(config):
    assert not list(old_names(config))

"""Commands of the tutorials: what is shown of them, and that a failing one ends the tutorial."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("IPython")
tutorial = pytest.importorskip("docs.generate.tutorial")


def test_progress_bars_are_left_out():
    command = r"printf 'begin\n 50%%|##  | 1/2 [00:01<00:01,  1.0it/s]\r100%%|####| 2/2 [00:02<00:00]\n\rend  \n\n'"
    assert tutorial.printed(command) == "begin\nend"


def test_a_command_that_fails_is_an_error_with_its_words():
    with pytest.raises(RuntimeError, match="status 3: no data"):
        tutorial.printed("echo fine; sh -c 'echo no data >&2; exit 3'; echo never")


def test_pictures_are_cut_and_shrunk(tmp_path):
    Image.fromarray(np.zeros((2000, 1500, 3), np.uint8)).save(tmp_path / "p.png")
    assert tutorial.show(tmp_path / "p.png", height=600).size == (1000, 400)

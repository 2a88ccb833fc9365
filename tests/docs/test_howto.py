"""Python that the how-to pages tell readers to write does what they say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from losses.mse import MseLoss

HOWTO = Path(__file__).parents[2] / "docs" / "howto"


def written(page, name):
    """The class that the first Python block of a page defines."""
    code = re.search(r"```python\n(.*?)```", (HOWTO / page).read_text(), re.DOTALL)[1]
    module = {}
    exec(compile(code, page, "exec"), module)
    return module[name]


def test_a_loss():
    loss = written("losses.md", "BrierLoss")()
    logits, target = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 1, 4, 4))
    assert loss(logits, target).item() == pytest.approx(MseLoss()(logits, target).item())
    with pytest.raises(ValueError, match="Got: logits"):
        loss(logits, target[:, 0])


def test_a_target(tmp_path):
    (tmp_path / "masks").mkdir()
    np.savez(tmp_path / "masks/a.npz", mask=np.eye(3) * 255)
    target = written("targets.md", "NpzMasks")("masks/{image_id}.npz")
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    row = pd.Series({"image_id": "a"})
    assert np.array_equal(target.read(row, (3, 3))["mask"], np.eye(3, dtype=np.uint8)[None])
    assert target.files(row) == [tmp_path / "masks/a.npz"]
    with pytest.raises(ValueError, match="its image is"):
        target.read(row, (4, 4))
    with pytest.raises(FileNotFoundError, match="'b'"):
        target.prepare(pd.DataFrame({"image_id": ["b"]}), tmp_path)


def test_a_step():
    ids = np.zeros((8, 8), np.int32)
    ids[0:2, 0:2], ids[3:5, 3:5], ids[6, 3] = 1, 2, 3
    step = written("inference.md", "ClearBorder")
    assert np.unique(step()({"instances": ids})["instances"]).tolist() == [0, 2, 3]
    assert np.unique(step(2)({"instances": ids})["instances"]).tolist() == [0, 2]
    assert step(1).replaced(pixels=4).pixels == 4

"""What is not said at every start, and what still is."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch.utils import _pytree

from commands.command_line.quiet import one_line, show_once, silence_libraries

ROOT = Path(__file__).resolve().parents[3]


def test_advertisements_are_dropped_and_the_rest_is_said(caplog):
    silence_libraries()
    with caplog.at_level(logging.INFO):
        rank_zero_info("💡 Tip: For seamless cloud logging, try installing litlogger")
        rank_zero_info("GPU available: False, used: False")
    assert [record.getMessage() for record in caplog.records] == ["GPU available: False, used: False"]


def test_what_torch_says_of_lightning_is_dropped_alone():
    """Lightning's own line: isinstance(treespec, LeafSpec)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silence_libraries()
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use another", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn("`something` is deprecated", FutureWarning, stacklevel=1)
    assert hasattr(_pytree, "LeafSpec")  # else the filter has nothing left to drop


def test_own_warnings_are_their_text_alone():
    own, other = ROOT / "evaluation" / "folds.py", Path("/usr/lib/x.py")
    assert one_line("3 values are rare", UserWarning, str(own), 93) == "warning: 3 values are rare\n"
    assert one_line("old", FutureWarning, str(own), 93) == f"{own}:93: FutureWarning: old\n"
    assert one_line("odd", UserWarning, str(other), 7) == f"{other}:7: UserWarning: odd\n"


def test_a_warning_is_printed_once_though_a_library_changes_the_filters(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show_once
        for number in range(2):
            warnings.warn("this test's own text", FutureWarning, stacklevel=1)
            warnings.filterwarnings("ignore", f"anything {number}")  # `warnings` then forgets what it has shown
    assert capsys.readouterr().err.count("this test's own text") == 1


def test_the_command_line_prints_them_so(tmp_path):
    for number, size in enumerate([16, 16, 24]):
        Image.fromarray(np.full((size, size), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "config.yaml").write_text(
        "data: {class_path: datamodules.ImageDataModule, init_args: {root: ., images: '*.png', targets: []}}\n"
        "competition: {metric: {class_path: evaluation.metrics.DicePerImage}}\ncv: {k: 2, stratify: size}\n"
    )
    command = [sys.executable, str(ROOT / "cli.py"), "folds", "--config", "config.yaml", "--overwrite", "true"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("warning: 1 values of 'size' have fewer images than there are folds")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.splitlines()[-1] == "next:  python cli.py fit --config config.yaml"  # without --overwrite

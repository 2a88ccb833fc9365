"""What the offline verbs say of an experiment that `search` has been at."""

import pytest
import yaml

from experiments.run_folder import RunFolder
from experiments.searched import is_tuned


@pytest.mark.parametrize(("found", "said"), [(None, False), (0.5, False), (0.7, True)])
def test_a_score_on_the_images_of_the_search_is_known(tmp_path, found, said):
    def chain(value: float) -> str:
        step = {"class_path": "postprocessing.Threshold", "init_args": {"value": value}}
        return yaml.safe_dump({"competition": {"postprocess": [step]}})

    (tmp_path / "fold0").mkdir()
    (tmp_path / "fold0" / "config.yaml").write_text(chain(0.5))
    if found is not None:
        (tmp_path / "searched.yaml").write_text(chain(found))
    assert is_tuned(tmp_path, RunFolder(tmp_path / "fold0")) == said

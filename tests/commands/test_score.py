"""What the offline verbs say of an experiment that `search` has been at."""

from types import SimpleNamespace

import pytest
import yaml

from commands.score import tuned
from experiments.run_folder import RunFolder


@pytest.mark.parametrize(("found", "said"), [(None, False), (0.5, False), (0.7, True)])
def test_a_score_on_the_images_of_the_search_is_known(tmp_path, found, said):
    def chain(value: float) -> str:
        step = {"class_path": "postprocessing.Threshold", "init_args": {"value": value}}
        return yaml.safe_dump({"competition": {"postprocess": [step]}})

    (tmp_path / "fold0").mkdir()
    (tmp_path / "fold0" / "config.yaml").write_text(chain(0.5))
    if found is not None:
        (tmp_path / "searched.yaml").write_text(chain(found))
    assert tuned(SimpleNamespace(experiment=tmp_path, runs=[RunFolder(tmp_path / "fold0")])) == said
